//! How events are set out.

use axum::http::{HeaderMap, header};

use crate::decode::json;
use crate::event::Event;

#[derive(Debug, Clone, Copy)]
pub enum Format {
    Ndjson,
    /// As of the HTML standard: what browsers' EventSource reads, and goes on with after a loss. Its ids have the epoch.
    Sse(u64),
}

impl Format {
    pub fn of(headers: &HeaderMap, epoch: u64) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if accept.contains("text/event-stream") { Self::Sse(epoch) } else { Self::Ndjson }
    }

    /// For what is of another ring.
    pub fn of_ring(self, epoch: u64) -> Self {
        match self {
            Self::Ndjson => Self::Ndjson,
            Self::Sse(_) => Self::Sse(epoch),
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Sse(_) => "text/event-stream",
        }
    }

    /// What stands before an event's JSON.
    pub fn begin(self, out: &mut Vec<u8>, cursor: u64) {
        if let Self::Sse(epoch) = self {
            out.extend_from_slice(format!("id: {epoch}-{cursor}\ndata: ").as_bytes());
        }
    }

    /// Adds an event, and says where its JSON begins.
    pub fn event(self, out: &mut Vec<u8>, event: &Event) -> usize {
        self.begin(out, event.cursor);
        let json = out.len();
        json::event(out, event);
        json
    }

    pub fn gap(self, out: &mut Vec<u8>, after: u64, to: u64) {
        if let Self::Sse(epoch) = self {
            out.extend_from_slice(format!("event: gap\nid: {epoch}-{to}\ndata: ").as_bytes());
        }
        json::gap(out, after, to);
        if matches!(self, Self::Sse(_)) {
            out.push(b'\n');
        }
    }

    pub fn end(self) -> &'static [u8] {
        match self {
            Self::Ndjson => b"\n",
            Self::Sse(_) => b"\n\n",
        }
    }
}
