//! Detaching may wait until all processors have passed, for which nobody should wait: a thread of its own does.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    time::Duration,
};

use super::links::Held;

/// Longest wait for links to be gone: a container's start may depend on it.
const LONGEST: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Reaper {
    queue: mpsc::Sender<Vec<Held>>,
    pending: Arc<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    lots: Mutex<usize>,
    fewer: Condvar,
}

impl Pending {
    fn change(&self, change: impl FnOnce(&mut usize)) {
        change(&mut self.lots.lock().unwrap_or_else(PoisonError::into_inner));
        self.fewer.notify_all();
    }
}

impl Reaper {
    pub fn new() -> io::Result<Self> {
        let (queue, retired) = mpsc::channel::<Vec<Held>>();
        let pending = Arc::new(Pending::default());
        let left = pending.clone();
        let thread = std::thread::Builder::new().name("detach".into()).stack_size(128 << 10);
        thread.spawn(move || {
            for links in retired {
                drop(links);
                left.change(|n| *n -= 1);
            }
        })?;
        Ok(Self { queue, pending })
    }

    /// Takes links away. Their pins go at once: whoever attaches next must not find and take over what is
    /// about to go.
    pub fn retire(&self, mut links: Vec<Held>) {
        if links.is_empty() {
            return;
        }
        links.iter_mut().for_each(Held::unpin);
        self.pending.change(|n| *n += 1);
        if self.queue.send(links).is_err() {
            self.pending.change(|n| *n -= 1);
        }
    }

    /// Waits until what was retired is detached: beside it, the same program attached anew would report all
    /// twice.
    pub fn settle(&self) {
        let lots = self.pending.lots.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.pending.fewer.wait_timeout_while(lots, LONGEST, |n| *n > 0);
        if waited.is_ok_and(|(_, timeout)| timeout.timed_out()) {
            tracing::warn!("programs are still being detached: some events may be reported twice");
        }
    }
}
