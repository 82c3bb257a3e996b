//! Which of the objects loaded for a tracer speaks for it. While one replaces another both are attached, and each
//! event must be reported by exactly one of them.
//!
//! Programs on tracepoints and in softirq cannot be preempted. What a thread bound to a processor changes there,
//! none of them sees change between the first program of an event and the last: the table has a column for each
//! processor, and is changed on that processor.

use libbpf_rs::MapHandle;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::scope::abi::{BITS, Current};
use crate::scope::mapped::Mapped;

const THIS_THREAD: Pid = Pid::from_raw(0);

#[derive(Debug)]
pub struct Switch {
    table: Mapped<Current>,
    processors: usize,
}

impl Switch {
    pub fn new(map: &MapHandle) -> std::io::Result<Self> {
        let processors = libbpf_rs::num_possible_cpus().map_err(std::io::Error::other)?;
        let table = Mapped::new(map, processors * BITS as usize)?;
        Ok(Self { table, processors })
    }

    /// From here on the object of this number speaks for the tracer of this bit.
    pub fn turn(&self, bit: u32, number: u32) {
        let before = sched_getaffinity(THIS_THREAD);
        for processor in 0..self.processors {
            let current = &self.table[processor * BITS as usize + bit as usize].0;
            if current.load(Relaxed) == number {
                continue;
            }
            let mut only = CpuSet::new();
            // One that is offline runs no events, and needs nobody there.
            let bound = only.set(processor).and_then(|()| sched_setaffinity(THIS_THREAD, &only));
            if let Err(e) = bound {
                tracing::debug!(processor, "not changed from there: {e}");
            }
            current.store(number, Release);
        }
        if let Ok(before) = before {
            let _ = sched_setaffinity(THIS_THREAD, &before);
        }
    }
}
