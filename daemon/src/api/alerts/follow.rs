//! Alarms and incidents as they are told: what is open first, then what comes.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use remora_alert::incident::State;
use tokio::sync::watch;

use super::{Ask, told};
use crate::alert::{Board, Shown};

/// How often a stream of server-sent events says that it is there, while nothing else is to be said.
const ALIVE: Duration = Duration::from_secs(15);

pub struct Follower {
    board: Board,
    ask: Ask,
    news: watch::Receiver<u64>,
    /// What was told up to there is set out or waits.
    after: u64,
    waiting: VecDeque<Arc<Shown>>,
    is_sse: bool,
}

impl Follower {
    pub fn new(board: Board, ask: Ask, headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let is_sse = accept.contains("text/event-stream");
        let (news, newest, open) = (board.news(), board.newest(), Some(State::Open));
        let had = headers.get("last-event-id").and_then(|id| number(id.to_str().ok()?, board.began()));
        let mut waiting = VecDeque::new();
        if had.is_none() {
            waiting.extend(
                board.incidents().into_iter().rev().filter(|i| i.state == open && i.number <= newest),
            );
        }
        Self { after: had.unwrap_or(newest), board, ask, news, waiting, is_sse }
    }

    pub fn answer(self) -> Response {
        let kind = if self.is_sse { "text/event-stream" } else { "application/x-ndjson" };
        let body = Body::from_stream(stream::unfold(self, |mut follower| async move {
            follower.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), follower))
        }));
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.news.borrow_and_update();
            if self.waiting.is_empty()
                && let Some(gap) = self.fill()
            {
                return Some(gap);
            }
            while let Some(shown) = self.waiting.pop_front() {
                if self.ask.wants(&shown) {
                    return Some(self.line("", shown.number, &told(&shown)));
                }
            }
            match tokio::time::timeout(ALIVE, self.news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) if self.is_sse => return Some(Bytes::from_static(b":\n\n")),
                Err(_) => {}
            }
        }
    }

    /// Takes what was told meanwhile; who was too slow is told so.
    fn fill(&mut self) -> Option<Bytes> {
        let page = self.board.after(self.after);
        let before = self.after;
        self.after = page.told.last().map_or(self.after, |last| last.number);
        self.waiting.extend(page.told);
        let to = page.missed_to?;
        let gap = format!("{{\"gap\":{{\"after\":{before},\"to\":{to}}}}}");
        Some(self.line("event: gap\n", to, &gap))
    }

    fn line(&self, kind: &str, number: u64, document: &str) -> Bytes {
        match self.is_sse {
            true => format!("{kind}id: {}-{number}\ndata: {document}\n\n", self.board.began()).into(),
            false => format!("{document}\n").into(),
        }
    }
}

/// Of what a browser had last, if this board told it.
fn number(id: &str, began: u64) -> Option<u64> {
    let (of, number) = id.split_once('-')?;
    (of.parse() == Ok(began)).then(|| number.parse().ok())?
}
