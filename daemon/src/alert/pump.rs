//! Events as the engine reads them, pulled by cursor like any reader's; read ahead by little, so that what cannot be kept up
//! with waits where everything waits, and what is forgotten there is counted.

use std::sync::Arc;

use remora_alert::event::Event;
use tokio::sync::mpsc;

use crate::decode::json;
use crate::history::{Feed, Item, Page};
use crate::outlet::place::Place;
use crate::tracer::plan::EventPlan;

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
    /// Whether it looks at such: others are not decoded.
    fn wants(&mut self, plan: &Arc<EventPlan>) -> bool;
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
                if eye.wants(&entry.plan) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Hub, fake::publish};

    #[derive(Default)]
    struct Seen {
        events: Vec<u64>,
        gaps: u64,
        reached: u64,
    }

    impl Eye for Seen {
        fn wants(&mut self, plan: &Arc<EventPlan>) -> bool {
            plan.name == "ping"
        }

        fn event(&mut self, event: &Event) {
            self.events.push(event.cursor());
        }

        fn gap(&mut self) {
            self.gaps += 1;
        }

        fn reached(&mut self, place: Place) {
            self.reached = place.cursor;
        }
    }

    #[tokio::test]
    async fn each_event_is_seen_once_and_what_is_forgotten_is_known() {
        // One batch: what comes before it is taken is forgotten.
        let hub = Hub::new(1);
        publish(&hub, "a", [8, 16, 24]);
        let mut pages = start(Feed::after(hub.clone(), None, 8, None).by(1));
        let mut seen = Seen::default();
        set_out(&pages.recv().await.unwrap(), 1, &mut seen);
        assert_eq!((&seen.events[..], seen.gaps, seen.reached), (&[16, 24][..], 0, 24));
        publish(&hub, "a", [32]);
        publish(&hub, "a", [40]);
        while seen.reached < 40 {
            set_out(&pages.recv().await.unwrap(), 1, &mut seen);
        }
        assert_eq!((&seen.events[..], seen.gaps), (&[16, 24, 40][..], 1));
    }
}
