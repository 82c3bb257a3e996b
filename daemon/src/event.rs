//! Events as they travel: batches of raw records with what is needed to decode them, decoded only where read.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::decode::value::Clock;
use crate::scope::abi::Head;
use crate::tracer::plan::EventPlan;

#[cfg(test)]
pub mod fake;

/// Whom an event is about, with its JSON members made once.
#[derive(Debug)]
pub struct Subject {
    pub id: String,
    pub name: String,
    pub image: String,
    /// Namespace and name.
    pub pod: Option<(String, String)>,
    /// `"container":{…},` and what else describes it, to be put into each event.
    pub json: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Entry {
    /// Position in the ring behind the record: grows for ever, and survives the daemon with the ring.
    pub cursor: u64,
    pub subject: Arc<Subject>,
    pub plan: Arc<EventPlan>,
    at: usize,
    len: usize,
}

/// What one look at the ring brought.
#[derive(Debug, Default)]
pub struct Batch {
    pub entries: Vec<Entry>,
    pub bytes: Vec<u8>,
    pub clock: Clock,
}

#[derive(Debug)]
pub struct Event<'b> {
    pub cursor: u64,
    pub subject: &'b Subject,
    pub plan: &'b EventPlan,
    pub record: &'b [u8],
    pub clock: Clock,
}

impl Event<'_> {
    pub fn unix_ns(&self) -> u64 {
        self.clock.unix(Head::read(self.record).map_or(0, |h| h.time))
    }
}

impl Batch {
    /// Adds a record, whose bytes are the last `len` of `bytes`.
    pub fn push(&mut self, cursor: u64, len: usize, subject: Arc<Subject>, plan: Arc<EventPlan>) {
        let at = self.bytes.len() - len;
        self.entries.push(Entry { cursor, subject, plan, at, len });
    }

    pub fn event<'b>(&'b self, entry: &'b Entry) -> Event<'b> {
        Event {
            cursor: entry.cursor,
            subject: &entry.subject,
            plan: &entry.plan,
            record: &self.bytes[entry.at..entry.at + entry.len],
            clock: self.clock,
        }
    }

    fn size(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>() + size_of::<Self>()
    }

    fn last(&self) -> u64 {
        self.entries.last().map_or(0, |e| e.cursor)
    }
}

/// The recent past, bounded in bytes, and the news that there is more. Readers pull by cursor, each at its own
/// pace; who is slower than the bound is told what it missed. The lock is held to clone a few handles only.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    past: Mutex<Past>,
    news: watch::Sender<u64>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Past {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    /// Highest cursor that was dropped for want of room.
    forgotten: u64,
    forgotten_events: u64,
    /// What lies before was read by an earlier daemon.
    begin: u64,
    /// How far that had read.
    read_before: u64,
}

/// What a reader gets: batches that have something behind its cursor, and what it missed before them.
#[derive(Debug, Default)]
pub struct Page {
    pub batches: Vec<Arc<Batch>>,
    /// The events up to this cursor are gone, and the reader had not had them all.
    pub missed_to: Option<u64>,
}

impl Hub {
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { past: Mutex::default(), news: watch::channel(0).0, limit }))
    }

    /// Events up to this cursor are gone: an earlier daemon had them. It had read up to the other: what comes before that
    /// comes again, but for those of containers that have ended.
    pub fn begin_behind(&self, cursor: u64, read: u64) {
        let mut past = self.past();
        (past.begin, past.forgotten, past.read_before) = (cursor, cursor, read);
        self.0.news.send_replace(cursor);
    }

    /// Where this daemon's own past begins.
    pub fn begin(&self) -> u64 {
        self.past().begin
    }

    /// How far an earlier daemon had read.
    pub fn read_before(&self) -> u64 {
        self.past().read_before
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn publish(&self, batch: Batch) {
        if batch.entries.is_empty() {
            return;
        }
        let last = batch.last();
        let mut past = self.past();
        past.bytes += batch.size();
        past.batches.push_back(Arc::new(batch));
        while past.bytes > self.0.limit && past.batches.len() > 1 {
            let Some(old) = past.batches.pop_front() else { break };
            past.bytes -= old.size();
            past.forgotten = old.last();
            past.forgotten_events += old.entries.len() as u64;
        }
        drop(past);
        self.0.news.send_replace(last);
    }

    /// Up to `most` batches with events behind `cursor`.
    pub fn after(&self, cursor: u64, most: usize) -> Page {
        let past = self.past();
        let first = past.batches.partition_point(|b| b.last() <= cursor);
        let batches = past.batches.iter().skip(first).take(most).cloned().collect();
        Page { batches, missed_to: (past.forgotten > cursor).then_some(past.forgotten) }
    }

    /// The cursor of the newest event.
    pub fn newest(&self) -> u64 {
        *self.0.news.borrow()
    }

    /// The oldest cursor from which nothing is missing.
    pub fn oldest(&self) -> u64 {
        self.past().forgotten
    }

    /// Bytes held, and the bound.
    pub fn usage(&self) -> (usize, usize) {
        (self.past().bytes, self.0.limit)
    }

    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }
}
