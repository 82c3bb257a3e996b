//! Events as a stream of NDJSON, from a cursor, the recent past or now on.

use std::collections::VecDeque;

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;

use super::{Api, problem};
use crate::decode::json;
use crate::event::{Event, Hub};

/// Batches taken from the past at a time.
const PAGE: usize = 16;
/// One piece of the body.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only events behind this cursor. Without it: from now on, or with `replay` from the oldest kept.
    after: Option<u64>,
    replay: bool,
    /// Go on with what is to come.
    follow: Option<bool>,
    /// Id, beginning of an id, or name.
    container: Option<String>,
    /// Comma list.
    tracer: Option<String>,
    event: Option<String>,
    /// Comma list of `path=value`, `path!=value`, `path^=beginning`; all must hold.
    r#where: Option<String>,
}

#[derive(Debug)]
enum Test {
    Is,
    IsNot,
    Begins,
}

/// A filter, looked through once.
#[derive(Debug, Default)]
struct Wanted {
    container: Option<String>,
    tracers: Option<Vec<String>>,
    events: Option<Vec<String>>,
    fields: Vec<(String, Test, String)>,
}

impl Wanted {
    fn new(filter: &Filter) -> Result<Self, String> {
        let list = |text: &Option<String>| {
            text.as_ref().map(|t| t.split(',').map(|w| w.trim().to_owned()).collect::<Vec<_>>())
        };
        let conditions = filter.r#where.iter().flat_map(|w| w.split(','));
        let fields: Result<_, String> = conditions.map(condition).collect();
        Ok(Self {
            container: filter.container.clone(),
            tracers: list(&filter.tracer),
            events: list(&filter.event),
            fields: fields?,
        })
    }

    /// Whoever picks events cannot tell by the cursor of the last one whether others were missed.
    fn is_all(&self) -> bool {
        self.container.is_none() && self.tracers.is_none() && self.events.is_none() && self.fields.is_empty()
    }

    /// What can be told without decoding.
    fn head(&self, event: &Event<'_>) -> bool {
        let of = |w: &String| super::is_meant(w, &event.subject.id, &event.subject.name);
        self.container.as_ref().is_none_or(of)
            && self.tracers.as_ref().is_none_or(|t| t.iter().any(|t| **t == *event.plan.tracer))
            && self.events.as_ref().is_none_or(|e| e.contains(&event.plan.name))
    }

    fn fields(&self, line: &[u8]) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
        self.fields.iter().all(|(path, test, wanted)| {
            let value = path.split('.').try_fold(&event, |v, key| v.get(key));
            let text = value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
            match test {
                Test::Is => text.as_ref() == Some(wanted),
                Test::IsNot => text.as_ref() != Some(wanted),
                Test::Begins => text.is_some_and(|t| t.starts_with(wanted)),
            }
        })
    }
}

fn condition(text: &str) -> Result<(String, Test, String), String> {
    let tests = [("!=", Test::IsNot), ("^=", Test::Begins), ("=", Test::Is)];
    for (sign, test) in tests {
        if let Some((path, value)) = text.split_once(sign) {
            return Ok((path.trim().to_owned(), test, value.to_owned()));
        }
    }
    Err(format!("condition {text:?} is not path=value, path!=value or path^=beginning"))
}

struct Cursor {
    hub: Hub,
    news: watch::Receiver<u64>,
    after: u64,
    follow: bool,
    wanted: Wanted,
    lines: VecDeque<Bytes>,
}

pub async fn stream(
    State(api): State<Api>,
    query: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let filter = match query {
        Ok(Query(filter)) => filter,
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
    };
    let wanted = match Wanted::new(&filter) {
        Ok(wanted) => wanted,
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e),
    };
    let news = api.hub.news();
    let begin = if filter.replay { api.hub.oldest() } else { api.hub.newest() };
    let cursor = Cursor {
        after: filter
            .after
            .map_or(begin, |after| if wanted.is_all() { after } else { after.max(api.hub.begin()) }),
        follow: filter.follow.unwrap_or(!filter.replay),
        lines: VecDeque::new(),
        hub: api.hub,
        news,
        wanted,
    };
    let body = Body::from_stream(stream::unfold(cursor, |mut cursor| async move {
        cursor.next().await.map(|chunk| (Ok::<_, std::convert::Infallible>(chunk), cursor))
    }));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

impl Cursor {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.lines.pop_front() {
                return Some(chunk);
            }
            self.news.borrow_and_update();
            if !self.page() {
                if !self.follow {
                    return None;
                }
                self.news.changed().await.ok()?;
            }
        }
    }

    /// Decodes what is behind the cursor; false if nothing is.
    fn page(&mut self) -> bool {
        let page = self.hub.after(self.after, PAGE);
        let mut out = Vec::new();
        if let Some(to) = page.missed_to {
            // A reader slower than the bound of the past is told, once, what it missed.
            json::gap(&mut out, self.after, to);
            self.after = to;
        }
        for batch in &page.batches {
            for entry in batch.entries.iter().filter(|e| e.cursor > self.after) {
                let event = batch.event(entry);
                if self.wanted.head(&event) {
                    let start = out.len();
                    json::event(&mut out, &event);
                    if self.wanted.fields(&out[start..]) { out.push(b'\n') } else { out.truncate(start) }
                }
                if out.len() >= CHUNK {
                    self.lines.push_back(std::mem::take(&mut out).into());
                }
            }
            self.after = batch.entries.last().map_or(self.after, |e| e.cursor.max(self.after));
        }
        if !out.is_empty() {
            self.lines.push_back(out.into());
        }
        !page.batches.is_empty() || page.missed_to.is_some()
    }
}
