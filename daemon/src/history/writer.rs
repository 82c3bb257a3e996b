//! The thread that stores: events twice a second, or as soon as many wait.

use std::{
    collections::HashMap,
    future::Future,
    io,
    sync::Arc,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use remora_wire::time::unix_ns;
use tokio::sync::mpsc;

use super::account::Left;
use super::chunk::Builder;
use super::store::{Batch, Ended, Place, Store};
use super::{Handle, Settings, database};
use crate::decode::json;
use crate::event::Hub;
use crate::registry;
use crate::worker::{Stopped, Worker};

/// Shorter than the second for which the ring keeps what was read: who is killed has stored it, or finds it again.
const PACE: Duration = Duration::from_millis(500);
/// Lines of one row, before they are packed.
const CHUNK: usize = 256 << 10;
const BATCHES: usize = 16;
/// After a failure, at first and at most.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
const TIDY: Duration = Duration::from_secs(60);
/// Ends that wait to be stored.
const ENDS: usize = 1024;

/// Tells of containers that ended, to whoever listens.
#[derive(Debug, Clone, Default)]
pub struct Teller(Vec<mpsc::Sender<Left>>);

impl Teller {
    /// Never waits: what finds no room is still among the ledgers that the daemon keeps, and is stored at its next start.
    pub fn tell(&self, left: impl Fn() -> Left) {
        for sender in &self.0 {
            if sender.try_send(left()).is_err() {
                tracing::warn!("a container's account waits for the next start to be looked at");
            }
        }
    }

    /// One more who listens, if that is wanted.
    pub fn listen(&mut self, wanted: bool) -> Option<mpsc::Receiver<Left>> {
        let (sender, receiver) = mpsc::channel(ENDS);
        wanted.then(|| {
            self.0.push(sender);
            receiver
        })
    }
}

/// Stores what there is and ends, when it is dropped.
pub fn start(
    settings: &Settings,
    handle: Handle,
    hub: Hub,
    registry: registry::Handle,
    ends: mpsc::Receiver<Left>,
) -> io::Result<Worker> {
    handle.figures.limit.store(settings.max_bytes, Relaxed);
    let mut writer = Writer {
        handle,
        hub,
        settings: settings.clone(),
        open: None,
        waiting: Vec::new(),
        damage: None,
        rest: REST,
        retry: Instant::now(),
        tidied: Instant::now(),
    };
    Worker::start("history", move |stopped| async move {
        writer.run(stopped, ends, async move { registry.list().await }).await;
    })
}

struct Writer {
    handle: Handle,
    hub: Hub,
    settings: Settings,
    /// The store, and the cursor behind which it goes on.
    open: Option<(Store, u64)>,
    /// Accounts that could not be stored yet.
    waiting: Vec<Left>,
    /// Why the file cannot be used any more.
    damage: Option<String>,
    rest: Duration,
    retry: Instant,
    tidied: Instant,
}

impl Writer {
    async fn run(
        &mut self,
        mut stopped: Stopped,
        mut ends: mpsc::Receiver<Left>,
        list: impl Future<Output = Vec<registry::record::View>>,
    ) {
        self.attempt();
        // Those of whose end a daemon that was killed could not tell.
        let before = list.await.into_iter().filter(|view| view.state == "ended");
        self.waiting.extend(before.map(Left::bare));
        let mut news = self.hub.news();
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                () = self.pace(&mut news) => {}
                Some(left) = ends.recv() => self.waiting.push(left),
            }
            while let Ok(left) = ends.try_recv() {
                self.waiting.push(left);
            }
            self.attempt();
        }
        while let Ok(left) = ends.try_recv() {
            self.waiting.push(left);
        }
        self.retry = Instant::now();
        self.attempt();
        self.handle.figures.up.store(false, Relaxed);
    }

    /// Until there is enough to be stored, or it has waited long enough.
    async fn pace(&self, news: &mut tokio::sync::watch::Receiver<u64>) {
        if Instant::now() < self.retry {
            return tokio::time::sleep_until(self.retry.into()).await;
        }
        let had = self.open.as_ref().map_or(0, |(_, after)| *after);
        let much = (self.hub.usage().1 / 8) as u64;
        if self.open.is_none() || !self.waiting.is_empty() {
            return tokio::time::sleep(PACE).await;
        }
        if news.borrow_and_update().saturating_sub(had) == 0 {
            match tokio::time::timeout(TIDY, news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) => return,
            }
        }
        // Cursors are positions in the ring: their difference is about what waits, in bytes.
        let full = async {
            while news.borrow_and_update().saturating_sub(had) < much && news.changed().await.is_ok() {}
        };
        let _ = tokio::time::timeout(PACE, full).await;
    }

    fn attempt(&mut self) {
        if Instant::now() < self.retry {
            return;
        }
        match self.work() {
            Ok(()) => {
                if !self.handle.figures.up.swap(true, Relaxed) {
                    tracing::info!("events are stored in {}", self.handle.path.display());
                }
                self.rest = REST;
            }
            Err(e) => self.failed(&e),
        }
        self.handle.figures.tried.store(true, Relaxed);
    }

    fn work(&mut self) -> rusqlite::Result<()> {
        let (mut store, mut after) = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        self.handle.figures.reached.store(after, Relaxed);
        let done = self.write(&mut store, &mut after);
        self.handle.figures.bytes.store(store.size(), Relaxed);
        match &done {
            Err(e) if database::is_damage(e) => self.damage = Some(e.to_string()),
            _ => self.open = Some((store, after)),
        }
        done
    }

    fn open(&mut self) -> rusqlite::Result<(Store, u64)> {
        let max_age = u64::try_from(self.settings.max_age.as_nanos()).unwrap_or(u64::MAX);
        let (mut store, damage) =
            Store::open(&self.handle.path, self.settings.max_bytes, max_age, self.damage.clone())?;
        self.damage = None;
        if let Some(why) = damage {
            self.handle.figures.damaged.fetch_add(1, Relaxed);
            tracing::error!(
                "the history {} is damaged ({why}): it is kept as events.db.damaged, and a new one begun",
                self.handle.path.display()
            );
        }
        let epoch = self.handle.epoch;
        let last = match store.place()?.filter(|p| p.epoch == epoch) {
            Some(place) => place.last,
            None => {
                // A new file owes nobody what was before it.
                let last = self.hub.begin();
                store.begin(Place { epoch, last })?;
                last
            }
        };
        Ok((store, last))
    }

    fn write(&mut self, store: &mut Store, after: &mut u64) -> rusqlite::Result<()> {
        while self.page(store, after)? {}
        while let Some(left) = self.waiting.last() {
            let (key, body) = (left.key(), left.packed());
            let (container, name) = (&left.view.id, &left.view.name);
            store.ended(&Ended { key: &key, container, name, unix_ns: left.unix_ns(), body: &body })?;
            self.waiting.pop();
        }
        if self.tidied.elapsed() >= TIDY {
            self.tidied = Instant::now();
            store.tidy(unix_ns())?;
        }
        Ok(())
    }

    /// Stores what is behind the cursor, as much as goes into a row or a few; whether there was anything.
    fn page(&self, store: &mut Store, after: &mut u64) -> rusqlite::Result<bool> {
        let page = self.hub.after(*after, BATCHES);
        let mut gap_to = page.missed_to.unwrap_or(0);
        let from = (*after).max(gap_to);
        let mut events = page.batches.iter().flat_map(|b| b.entries.iter().map(move |e| (b, e)));
        let mut rest = true;
        while rest {
            let mut builder = Builder::default();
            let mut subjects = HashMap::new();
            rest = false;
            for (batch, entry) in events.by_ref().filter(|(_, e)| e.cursor > from) {
                let key = Arc::as_ptr(&entry.subject);
                let subject = match subjects.get(&key) {
                    Some(number) => *number,
                    None => {
                        let number = store.subject(&entry.subject.id, &entry.subject.name)?;
                        *subjects.entry(key).or_insert(number)
                    }
                };
                let event = batch.event(entry);
                builder.push(entry.cursor, event.unix_ns(), subject, |out| json::event(out, &event));
                if builder.size() >= CHUNK {
                    rest = true;
                    break;
                }
            }
            if builder.events == 0 && gap_to == 0 {
                break;
            }
            let mut numbers: Vec<u32> = subjects.into_values().collect();
            numbers.sort_unstable();
            numbers.dedup();
            store.append(self.handle.epoch, &Batch { events: &builder, after: *after, gap_to }, &numbers)?;
            *after = builder.last.max(gap_to);
            self.handle.figures.reached.store(*after, Relaxed);
            self.handle.figures.stored.fetch_add(builder.events, Relaxed);
            if gap_to > 0 {
                self.handle.figures.gaps.fetch_add(1, Relaxed);
                tracing::warn!("events were forgotten before they could be put into the history");
            }
            gap_to = 0;
        }
        Ok(!page.batches.is_empty() || page.missed_to.is_some())
    }

    /// Events wait in the daemon's past meanwhile, and nobody else does.
    fn failed(&mut self, error: &rusqlite::Error) {
        let figures = &self.handle.figures;
        let count = match error {
            e if database::is_full(e) => &figures.full,
            e if database::is_damage(e) => &figures.damaged,
            _ => &figures.failed,
        };
        count.fetch_add(1, Relaxed);
        if figures.up.swap(false, Relaxed) || self.rest == REST {
            tracing::error!(
                "failed to write the history {}: {error}; it is tried again",
                self.handle.path.display()
            );
        }
        // A damaged file is set aside at once.
        let rest = if database::is_damage(error) { Duration::ZERO } else { self.rest };
        self.retry = Instant::now() + rest;
        self.rest = (self.rest * 2).min(REST_MAX);
        // Accounts are on disk as ledgers, too: of very many the oldest wait for the next start.
        let over = self.waiting.len().saturating_sub(ENDS);
        self.waiting.drain(..over);
    }
}

#[cfg(test)]
mod tests;
