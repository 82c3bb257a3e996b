//! What it takes: memory by an allocator that counts, time as the kernel counts what this thread had of a processor.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
pub struct Counting;

// SAFETY: the system's allocator does it all; beside it only numbers are changed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: what the caller promises is what is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Bytes on the heap.
pub fn heap() -> usize {
    NOW.load(Relaxed)
}

/// The most since this was last asked.
pub fn most() -> usize {
    MOST.swap(NOW.load(Relaxed), Relaxed)
}

/// What this thread has had of a processor: waiting for one on a busy machine does not count.
pub fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// Times of many calls, as a histogram of small steps: the calls are as many as events.
#[derive(Debug, Default)]
pub struct Times {
    all: Vec<u32>,
}

impl Times {
    pub fn add(&mut self, took: Duration) {
        // Longer than four seconds is four seconds.
        self.all.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
    }

    /// What it takes itself.
    pub fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<u32>()
    }

    pub fn percentile(&mut self, percent: usize) -> Duration {
        self.all.sort_unstable();
        let at = (self.all.len() * percent / 100).min(self.all.len().saturating_sub(1));
        Duration::from_nanos(self.all.get(at).copied().unwrap_or(0).into())
    }
}
