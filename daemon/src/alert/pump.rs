//! Events as the engine reads them, pulled by cursor like any reader's; read ahead by little, so that what cannot be kept up
//! with waits where everything waits, and what is forgotten there is counted.

use remora_alert::event::Event;
use tokio::sync::mpsc;

use crate::decode::json;
use crate::history::{Feed, Item, Page};
use crate::outlet::place::Place;

/// Pages read ahead.
const AHEAD: usize = 2;

/// Reads until nobody takes it any more.
pub fn start(mut feed: Feed) -> mpsc::Receiver<Page> {
    let (sender, pages) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        loop {
            let goes_on = match feed.next().await {
                Some(page) => sender.send(page).await.is_ok(),
                None => feed.changed().await,
            };
            if !goes_on {
                return;
            }
        }
    });
    pages
}

/// Who looks at events.
pub trait Eye {
    /// Whether it looks at those of a tracer and name: others are not decoded.
    fn wants(&mut self, tracer: &str, name: &str) -> bool;
    fn event(&mut self, event: &Event);
    /// Events are missing.
    fn gap(&mut self);
    /// Up to there it has seen all.
    fn reached(&mut self, place: Place);
}

/// Sets out a page.
pub fn set_out(page: &Page, epoch: u64, eye: &mut impl Eye) {
    match page {
        Page::Gap { to, .. } => {
            eye.gap();
            eye.reached(Place { epoch, cursor: *to });
        }
        Page::Stored(items) => items.iter().for_each(|item| stored(item, eye)),
        Page::Kept { batches, after } => {
            let all = batches.iter().flat_map(|b| b.entries.iter().map(move |e| (b, e)));
            let mut line = Vec::new();
            for (batch, entry) in all.filter(|(_, e)| e.cursor > *after) {
                if eye.wants(&entry.plan.tracer, &entry.plan.name) {
                    line.clear();
                    json::event(&mut line, &batch.event(entry));
                    read(&line, eye);
                }
                eye.reached(Place { epoch, cursor: entry.cursor });
            }
        }
    }
}

fn stored(item: &Item, eye: &mut impl Eye) {
    let (epoch, cursor) = match item {
        Item::Gap { epoch, to, .. } => {
            eye.gap();
            (*epoch, *to)
        }
        Item::Event { epoch, cursor, line, .. } => {
            read(line, eye);
            (*epoch, *cursor)
        }
    };
    eye.reached(Place { epoch, cursor });
}

/// An event that cannot be read again is a fault of ours, and no reason to end.
fn read(line: &[u8], eye: &mut impl Eye) {
    match Event::parse(line) {
        Ok(event) => eye.event(&event),
        Err(e) => tracing::warn!("failed to read an event again: {e}"),
    }
}
