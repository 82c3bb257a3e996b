//! Events as a stream of NDJSON or as server-sent events: from a time, a cursor, the recent past or now on.

mod format;

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;

use self::format::Format;
use super::filter::{Ask, Filter};
use super::hold::Held;
use super::{Api, connection::Counts, problem};
use crate::event::{Batch, Event, Hub};
use crate::history::{self, Feed, Item, Page, Query as Stored};

/// How long events are looked at in one go: hooks are served by the same thread.
const TURN: Duration = Duration::from_millis(1);
/// One piece of the body, about.
const CHUNK: usize = 64 << 10;
/// How often a stream of server-sent events says that it is there, while nothing else is to be said.
const ALIVE: Duration = Duration::from_secs(15);

/// Where events come from.
struct Past {
    hub: Hub,
    history: Option<history::Handle>,
    epoch: u64,
}

impl Past {
    fn of(api: &Api) -> Self {
        let (hub, history) = (api.hub.clone(), api.history.clone());
        Self { hub, history, epoch: api.kept[0].epoch.load(Relaxed) }
    }

    /// From where on they are to be read; and a cursor of another ring, if what came behind it there is lost.
    fn feed(self, ask: &Ask, filter: &Filter, had: Option<(u64, u64)>) -> (Feed, Option<u64>) {
        let Self { hub, history, epoch } = self;
        let (container, since) = (ask.container.clone(), filter.since);
        let (after, of) = had.map_or((ask.after, ask.epoch), |(epoch, cursor)| (Some(cursor), Some(epoch)));
        let of_another = of.is_some_and(|of| of != epoch);
        let begin = if ask.replay { hub.oldest() } else { hub.newest() };
        let feed = match after {
            None if since.is_some() => {
                let query = Stored { since, until: filter.until, container, after: None };
                Feed::since(hub, history, query)
            }
            None => Feed::after(hub, history, begin, container),
            Some(after) if of_another && history.is_some() => {
                Feed::resume(hub, history, of.map(|of| (of, after)), epoch, container)
            }
            Some(after) if of_another => {
                let oldest = hub.oldest();
                return (Feed::after(hub, None, oldest, container).by(1), Some(after));
            }
            // What an earlier daemon had cannot be told for who picks, unless it is stored.
            Some(after) if filter.is_all() || history.is_some() => {
                Feed::after(hub, history, after, container)
            }
            Some(after) => {
                let begin = hub.begin();
                Feed::after(hub, None, after.max(begin), container)
            }
        };
        (feed.by(1), None)
    }
}

struct Cursor {
    feed: Feed,
    hub: Hub,
    /// What is being set out.
    page: Option<Page>,
    /// The cursor to end with; none for who follows.
    until: Option<u64>,
    is_over: bool,
    /// A cursor of another ring: what came behind it there is lost.
    foreign: Option<u64>,
    /// What was asked for may have begun before the daemon's past, and nothing is stored.
    is_unsure: bool,
    epoch: u64,
    filter: Filter,
    format: Format,
    counts: Arc<Counts>,
    held: Option<Held>,
}

pub async fn stream(
    State(api): State<Api>,
    headers: HeaderMap,
    query: Result<Query<Ask>, QueryRejection>,
) -> Response {
    let wanted = query.map_err(|e| e.body_text()).and_then(|Query(ask)| Ok((Filter::new(&ask)?, ask)));
    let (filter, ask) = match wanted {
        Ok(wanted) => wanted,
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e),
    };
    let past = Past::of(&api);
    let format = Format::of(&headers, past.epoch);
    // What a browser had last, when it comes again by itself.
    let had = headers.get("last-event-id").and_then(|v| last_event_id(v.to_str().ok()?));
    Cursor::new(past, &ask, had, filter, format, api.counts).answer()
}

/// What one tracer says of one container behind a cursor, until the container ends or the tracer is taken from it.
pub(super) fn of_held(
    api: Api,
    headers: &HeaderMap,
    (id, tracer): (String, String),
    after: u64,
    held: Held,
) -> Response {
    let past = Past::of(&api);
    let (filter, format) = (Filter::of(id, tracer), Format::of(headers, past.epoch));
    let mut cursor = Cursor::new(past, &Ask::behind(after), None, filter, format, api.counts);
    cursor.held = Some(held);
    cursor.answer()
}

/// Epoch and cursor.
fn last_event_id(id: &str) -> Option<(u64, u64)> {
    let (epoch, cursor) = id.split_once('-')?;
    Some((epoch.parse().ok()?, cursor.parse().ok()?))
}

impl Cursor {
    /// `had` is what a client had last, of an epoch, by its own account.
    fn new(
        past: Past,
        ask: &Ask,
        had: Option<(u64, u64)>,
        filter: Filter,
        format: Format,
        counts: Arc<Counts>,
    ) -> Self {
        let (hub, epoch) = (past.hub.clone(), past.epoch);
        let follows = ask.follow.unwrap_or(!ask.replay && filter.since.is_none());
        let until = (!follows).then(|| hub.newest());
        let is_unsure = filter.since.is_some() && had.is_none() && past.history.is_none() && hub.oldest() > 0;
        let (feed, foreign) = past.feed(ask, &filter, had);
        let (page, is_over, held) = (None, false, None);
        Self { feed, hub, page, until, is_over, foreign, is_unsure, epoch, filter, format, counts, held }
    }

    fn answer(self) -> Response {
        let format = self.format;
        let body = Body::from_stream(stream::unfold(self, |mut cursor| async move {
            cursor.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), cursor))
        }));
        let head = [(header::CONTENT_TYPE, format.content_type()), (header::CACHE_CONTROL, "no-store")];
        (head, body).into_response()
    }

    async fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        loop {
            let more = self.slice(&mut out).await;
            if out.len() >= CHUNK || !more && !out.is_empty() {
                return Some(out.into());
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            if self.until.is_some() {
                return None;
            }
            match tokio::time::timeout(ALIVE, self.news()).await {
                Ok(true) => {}
                // What is there by now is the last.
                Ok(false) => self.until = Some(self.hub.newest()),
                Err(_) if matches!(self.format, Format::Sse(_)) => return Some(Bytes::from_static(b":\n\n")),
                Err(_) => {}
            }
        }
    }

    /// Waits for more; false: there will be none after what is there by then.
    async fn news(&mut self) -> bool {
        let Some(held) = &mut self.held else { return self.feed.changed().await };
        tokio::select! {
            changed = self.feed.changed() => changed,
            () = held.is_over() => false,
        }
    }

    /// Sets out some of what is behind the cursor; false if nothing is.
    async fn slice(&mut self, out: &mut Vec<u8>) -> bool {
        if let Some(after) = self.foreign.take() {
            let oldest = self.hub.oldest();
            self.gap(out, self.epoch, after, oldest);
        }
        if self.is_over {
            return false;
        }
        let page = match self.page.take() {
            Some(page) => page,
            None => match self.feed.next().await {
                Some(page) => page,
                None => return false,
            },
        };
        match page {
            // A reader slower than the bound of the past is told, once, what it missed.
            Page::Gap { after, to } => self.gap(out, self.epoch, after, to),
            Page::Stored(items) => self.stored(out, items),
            Page::Kept { batches, after } => self.kept(out, batches, after),
        }
        !self.is_over
    }

    fn stored(&mut self, out: &mut Vec<u8>, items: Vec<Item>) {
        let begun = Instant::now();
        let mut items = items.into_iter();
        for item in items.by_ref() {
            match item {
                Item::Gap { epoch, after, to } => self.gap(out, epoch, after, to),
                Item::Event { epoch, cursor, unix_ns, line } => {
                    if self.filter.line(&line, unix_ns) {
                        self.format.of_ring(epoch).begin(out, cursor);
                        out.extend_from_slice(&line);
                        out.extend_from_slice(self.format.end());
                    }
                }
            }
            if out.len() >= CHUNK || begun.elapsed() > TURN {
                break;
            }
        }
        if items.len() > 0 {
            self.page = Some(Page::Stored(items.collect()));
        }
    }

    fn kept(&mut self, out: &mut Vec<u8>, batches: Vec<Arc<Batch>>, after: u64) {
        let begun = Instant::now();
        for batch in &batches {
            let first = batch.entries.partition_point(|e| e.cursor <= after);
            for entry in &batch.entries[first..] {
                if self.until.is_some_and(|until| entry.cursor > until) {
                    self.is_over = true;
                    return;
                }
                self.add(out, &batch.event(entry), after);
                if out.len() >= CHUNK || begun.elapsed() > TURN {
                    self.page = Some(Page::Kept { after: entry.cursor, batches });
                    return;
                }
            }
        }
    }

    fn add(&mut self, out: &mut Vec<u8>, event: &Event, after: u64) {
        if std::mem::take(&mut self.is_unsure) && self.filter.since.is_some_and(|s| event.unix_ns() > s) {
            self.gap(out, self.epoch, 0, after);
        }
        if !self.filter.head(event) {
            return;
        }
        let start = out.len();
        let json = self.format.event(out, event);
        if self.filter.fields(&out[json..]) {
            out.extend_from_slice(self.format.end());
        } else {
            out.truncate(start);
        }
    }

    fn gap(&self, out: &mut Vec<u8>, epoch: u64, after: u64, to: u64) {
        self.format.of_ring(epoch).gap(out, after, to);
        self.counts.gaps.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
