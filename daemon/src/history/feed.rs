//! Events from what is stored on into what comes: one after the other, none twice, and what is missing is told.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::Handle;
use super::read::{Item, Query, Reading};
use crate::event::{Batch, Hub};

/// Batches taken from the daemon's past at a time, unless it is said how many.
const BATCHES: usize = 16;
/// How long, and how often, it is waited for that the store has what the daemon's past has just forgotten.
const WAIT: Duration = Duration::from_millis(50);
const WAITS: u32 = 100;

#[derive(Debug)]
pub enum Page {
    /// Out of the store.
    Stored(Vec<Item>),
    /// Out of the daemon's past: events behind the cursor.
    Kept { batches: Vec<Arc<Batch>>, after: u64 },
    /// Events behind the first cursor up to the second are gone.
    Gap { after: u64, to: u64 },
}

#[derive(Debug)]
pub struct Feed {
    hub: Hub,
    news: watch::Receiver<u64>,
    history: Option<Handle>,
    reading: Option<Reading>,
    after: u64,
    /// Where the store was last looked into for what the daemon's past has no more.
    looked: Option<u64>,
    /// How often it was waited for that the store gets there.
    waits: u32,
    container: Option<String>,
    most: usize,
}

/// What is to be done next.
enum Step {
    Give(Page),
    /// Look into the store.
    Look,
    /// The store is about to have it.
    Wait,
    /// There is nothing more yet.
    Rest,
}

impl Feed {
    fn new(hub: Hub, history: Option<Handle>, after: u64, container: Option<String>) -> Self {
        let news = hub.news();
        let (reading, looked, waits, most) = (None, None, 0, BATCHES);
        Self { hub, news, history, reading, after, looked, waits, container, most }
    }

    /// Events behind a cursor.
    pub fn after(hub: Hub, history: Option<Handle>, after: u64, container: Option<String>) -> Self {
        Self::new(hub, history, after, container)
    }

    /// Events of a time, beginning with what is stored. The daemon's own past is left for the caller to tell by time.
    pub fn since(hub: Hub, history: Option<Handle>, query: Query) -> Self {
        let oldest = hub.oldest();
        let mut feed = Self::new(hub, history, oldest, query.container.clone());
        feed.reading = feed.history.as_ref().map(|h| h.read(query));
        feed
    }

    /// Where an earlier daemon left off, of this ring or one before it.
    pub fn resume(
        hub: Hub,
        history: Option<Handle>,
        place: Option<(u64, u64)>,
        epoch: u64,
        container: Option<String>,
    ) -> Self {
        let begin = hub.begin();
        match place {
            Some((of, after)) if of == epoch => Self::new(hub, history, after, container),
            place => {
                let mut feed = Self::new(hub, history, begin, container.clone());
                let read =
                    |h: &Handle| Some(h.read(Query { after: Some(place?), container, ..Query::default() }));
                feed.reading = feed.history.as_ref().and_then(read);
                feed
            }
        }
    }

    /// Batches that a page of the daemon's past may have.
    pub fn by(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// What comes next; None if that is not there yet.
    pub async fn next(&mut self) -> Option<Page> {
        loop {
            if let Some(mut reading) = self.reading.take() {
                let read = move || {
                    let found = reading.more();
                    (reading, found)
                };
                let Ok((reading, found)) = tokio::task::spawn_blocking(read).await else { continue };
                if let Some(page) = self.found(reading, found) {
                    return Some(page);
                }
                continue;
            }
            match self.step() {
                Step::Give(page) => return Some(page),
                Step::Look => {}
                Step::Wait => tokio::time::sleep(WAIT).await,
                Step::Rest => return None,
            }
        }
    }

    /// The same for a thread that may wait for the disk.
    pub fn next_here(&mut self) -> Option<Page> {
        loop {
            if let Some(mut reading) = self.reading.take() {
                let found = reading.more();
                if let Some(page) = self.found(reading, found) {
                    return Some(page);
                }
                continue;
            }
            match self.step() {
                Step::Give(page) => return Some(page),
                Step::Look => {}
                Step::Wait => std::thread::sleep(WAIT),
                Step::Rest => return None,
            }
        }
    }

    fn found(&mut self, reading: Reading, found: rusqlite::Result<Option<Vec<Item>>>) -> Option<Page> {
        match found {
            Ok(Some(items)) => {
                self.reading = Some(reading);
                return (!items.is_empty()).then_some(Page::Stored(items));
            }
            // The store's end is reached: the daemon's past goes on there.
            Ok(None) => {
                let epoch = self.history.as_ref().map(|h| h.epoch);
                let reached = reading.reached().filter(|(of, _)| Some(*of) == epoch);
                self.after = reached.map_or(self.after, |(_, last)| last);
            }
            Err(e) => tracing::warn!("failed to read the history: {e}"),
        }
        None
    }

    fn step(&mut self) -> Step {
        self.news.borrow_and_update();
        // What an earlier daemon has read may be in the store alone.
        if self.after < self.hub.read_before() && self.look() {
            return Step::Look;
        }
        let page = self.hub.after(self.after, self.most);
        if let Some(to) = page.missed_to {
            return self.missed(to);
        }
        self.waits = 0;
        let Some(last) = page.batches.last().and_then(|b| b.entries.last()) else { return Step::Rest };
        let after = std::mem::replace(&mut self.after, last.cursor);
        Step::Give(Page::Kept { batches: page.batches, after })
    }

    /// Begins to read the store behind the cursor, once at each.
    fn look(&mut self) -> bool {
        let Some(history) = self.history.as_ref().filter(|_| self.looked != Some(self.after)) else {
            return false;
        };
        let (after, container) = (Some((history.epoch, self.after)), self.container.clone());
        self.reading = Some(history.read(Query { after, container, ..Query::default() }));
        (self.looked, self.waits) = (Some(self.after), 0);
        true
    }

    /// What the daemon's past has no more may be stored, or be about to be.
    fn missed(&mut self, to: u64) -> Step {
        if let Some(history) = &self.history {
            let (is_there, is_to_come) = (history.reached() > self.after, history.is_up());
            if is_there && self.look() {
                return Step::Look;
            }
            if !is_there && is_to_come && self.waits < WAITS {
                self.waits += 1;
                return Step::Wait;
            }
        }
        let after = std::mem::replace(&mut self.after, to);
        Step::Give(Page::Gap { after, to })
    }

    /// Waits for more; false if there will be none.
    pub async fn changed(&mut self) -> bool {
        self.news.changed().await.is_ok()
    }
}
