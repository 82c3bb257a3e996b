//! The reader: one thread that copies records out of the ring and gives the space back a little later.
//!
//! Space is given back a second after it was read, or when an eighth of the ring waits: what a daemon that is
//! killed had read but not yet passed on is then still there for the next one, under the same cursors.
//! While there is something to give back the thread looks again after 2 to 50 ms, so that under load nobody
//! pays for waking it; when there is nothing it sleeps until the kernel wakes it.

mod memory;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering::*},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use tokio::sync::mpsc::UnboundedSender;

use crate::decode::value::Clock;
use crate::directory::{Directory, Snapshot};
use crate::event::{Batch, Hub};
use crate::scope::abi::{Container, Head, Reader as Kept, TRACER_SCOPE};
use crate::scope::mapped::Mapped;
use memory::{At, RingMemory};

const KEEP: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(50);
/// A batch is published at this size even if there is more.
const BATCH_BYTES: usize = 256 << 10;

/// The removal of a container's cgroup was read: everything it did before has been, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    pub root: u64,
}

#[derive(Debug)]
pub struct Reader {
    ring: RingMemory,
    fd: OwnedFd,
    containers: Arc<Mapped<Container>>,
    kept: Arc<Mapped<Kept>>,
    directory: Directory,
    hub: Hub,
    gone: UnboundedSender<Gone>,
    position: u64,
    pending: VecDeque<Pending>,
    size: u32,
}

/// Read, but not given back.
#[derive(Debug)]
struct Pending {
    end: u64,
    read: Instant,
    /// Cursor of its last event, 0 if it has none.
    last: u64,
    /// Bytes by container's index.
    shares: Vec<(u32, u64)>,
}

/// What one look at the ring found, beside events.
#[derive(Debug, Default)]
struct Found {
    shares: Vec<(u32, u64)>,
    gone: Vec<Gone>,
    /// Deliveries by tracer's number and container's index.
    delivered: Vec<((u32, u32), u64)>,
    unattributed: u64,
}

/// Stops the reader when dropped, after a last look.
#[derive(Debug)]
pub struct Running {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Reader {
    pub fn new(
        fd: OwnedFd,
        size: u32,
        containers: Arc<Mapped<Container>>,
        kept: Arc<Mapped<Kept>>,
        directory: Directory,
        hub: Hub,
        gone: UnboundedSender<Gone>,
    ) -> io::Result<Self> {
        let ring = RingMemory::new(&fd, size)?;
        let position = ring.released();
        // What an earlier daemon gave back is gone; killed at that moment, it may have said so too early.
        let (given_back, read) = (kept[0].given_back.load(Relaxed), kept[0].counted_to.load(Relaxed));
        hub.begin_behind(given_back.min(position), read);
        Ok(Self {
            ring,
            fd,
            containers,
            kept,
            directory,
            hub,
            gone,
            position,
            pending: VecDeque::new(),
            size,
        })
    }

    pub fn start(mut self) -> io::Result<Running> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("ring".into()).stack_size(256 << 10);
        let thread = thread.spawn(move || self.run(&stopped))?;
        Ok(Running { stop, thread: Some(thread) })
    }

    fn run(&mut self, stop: &EventFd) {
        let mut pause = QUICK;
        loop {
            let got = self.drain();
            self.give_back(Instant::now());
            pause = if got { QUICK } else { (pause * 2).min(SLOW) };
            let idle = self.pending.is_empty() && !got;
            if self.wait(stop, if idle { None } else { Some(pause) }) {
                self.drain();
                return;
            }
        }
    }

    /// Waits for the pause, or without one for the kernel; whether it is time to stop.
    fn wait(&self, stop: &EventFd, pause: Option<Duration>) -> bool {
        let stop = PollFd::new(stop.as_fd(), PollFlags::POLLIN);
        let ring = PollFd::new(self.fd.as_fd(), PollFlags::POLLIN);
        let timeout = pause.and_then(|p| PollTimeout::try_from(p).ok()).unwrap_or(PollTimeout::NONE);
        let mut fds = if pause.is_some() { vec![stop] } else { vec![stop, ring] };
        let _ = poll(&mut fds, timeout);
        let stopping = fds[0].any().unwrap_or(false);
        let held_up = pause.is_none() && self.ring.at(self.position, self.ring.written()) == At::Nothing;
        if held_up && !stopping {
            // Woken by a record that is still being written: let its writer finish.
            std::thread::sleep(Duration::from_micros(500));
        }
        stopping
    }

    /// Reads all there is; whether there was anything.
    fn drain(&mut self) -> bool {
        let before = self.position;
        loop {
            let snapshot = self.directory.snapshot();
            let mut batch = Batch { clock: Clock::now(), ..Batch::default() };
            let mut found = Found::default();
            let start = self.position;
            let written = self.ring.written();
            while batch.bytes.len() < BATCH_BYTES && self.step(written, &snapshot, &mut batch, &mut found) {}
            if self.position == start {
                return self.position != before;
            }
            batch.bytes.shrink_to_fit();
            batch.entries.shrink_to_fit();
            let last = batch.entries.last().map_or(0, |e| e.cursor);
            self.hub.publish(batch);
            self.count(&found, &snapshot);
            let Found { shares, gone, .. } = found;
            self.pending.push_back(Pending { end: self.position, read: Instant::now(), last, shares });
            for root in gone {
                let _ = self.gone.send(root);
            }
            self.give_back(Instant::now());
        }
    }

    fn step(&mut self, written: u64, snapshot: &Snapshot, batch: &mut Batch, found: &mut Found) -> bool {
        let (len, next) = match self.ring.at(self.position, written) {
            At::Nothing => return false,
            At::Discarded { next } => {
                self.position = next;
                return true;
            }
            At::Record { len, next } => (len, next),
        };
        self.ring.copy(self.position, len, &mut batch.bytes);
        let size = next - self.position;
        self.position = next;
        let record = &batch.bytes[batch.bytes.len() - len..];
        let kept = match Head::read(record) {
            Some(head) => {
                add(&mut found.shares, head.container, size);
                if head.tracer == TRACER_SCOPE {
                    found.gone.push(Gone { root: head.root });
                    false
                } else {
                    self.attribute(&head, len, snapshot, batch, found)
                }
            }
            None => false,
        };
        if !kept {
            batch.bytes.truncate(batch.bytes.len() - len);
        }
        true
    }

    /// Whose record is it, and what? One of nobody known is counted.
    fn attribute(
        &self,
        head: &Head,
        len: usize,
        snapshot: &Snapshot,
        batch: &mut Batch,
        found: &mut Found,
    ) -> bool {
        let counts = self.position > self.kept[0].counted_to.load(Relaxed);
        let subject = snapshot.subjects.get(&head.root);
        let decoder = snapshot.decoders.get(&head.tracer);
        let plan = decoder.and_then(|d| d.events.get(&head.type_id)).filter(|p| len >= p.layout.size);
        if counts {
            // Also those of nobody known: whoever has this place next starts from a balanced account.
            add(&mut found.delivered, (head.tracer, head.container), 1);
        }
        let (Some(subject), Some(plan)) = (subject, plan) else {
            found.unattributed += u64::from(counts);
            return false;
        };
        batch.push(self.position, len, subject.clone(), plan.clone());
        true
    }

    /// A few stores in a row: a daemon killed before or after them has counted all of a look or nothing.
    fn count(&self, found: &Found, snapshot: &Snapshot) {
        for ((tracer, index), events) in &found.delivered {
            let stats = snapshot.decoders.get(tracer).and_then(|d| d.stats.get(*index as usize));
            if let Some(stats) = stats {
                stats.delivered.fetch_add(*events, Relaxed);
            }
        }
        self.kept[0].unattributed.fetch_add(found.unattributed, Relaxed);
        self.kept[0].counted_to.fetch_max(self.position, Release);
    }

    fn give_back(&mut self, now: Instant) {
        while let Some(first) = self.pending.front() {
            let waiting = self.position - self.ring.released();
            if now.duration_since(first.read) < KEEP && waiting <= u64::from(self.size / 8) {
                return;
            }
            // First the ring, then the shares: if killed in between, a container seems to hold a little more
            // than it does, never less.
            self.kept[0].given_back.fetch_max(first.last, Release);
            self.ring.release(first.end);
            for (index, bytes) in &first.shares {
                if let Some(c) = self.containers.get(*index as usize) {
                    c.released.fetch_add(*bytes, Release);
                }
            }
            self.pending.pop_front();
        }
    }
}

fn add<K: PartialEq>(sums: &mut Vec<(K, u64)>, key: K, more: u64) {
    match sums.iter_mut().find(|(k, _)| *k == key) {
        Some((_, sum)) => *sum += more,
        None => sums.push((key, more)),
    }
}
