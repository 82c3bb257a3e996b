//! What tracers cost: runs and time of their programs, as the kernel counts them while somebody asks.
//!
//! Counting itself costs each run of each BPF program on the node some tens of nanoseconds, so it is switched on by
//! a descriptor that is held only for a while after each question, not by the sysctl.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::engine::{Engine, Tracer};

/// A Prometheus that asks every minute keeps the counting on.
const LINGER: Duration = Duration::from_secs(150);

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    pub runs: u64,
    pub nanoseconds: u64,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.nanoseconds += other.nanoseconds;
    }
}

/// By program.
pub type Costs = BTreeMap<String, Cost>;

/// The kernel counts while this is held.
#[derive(Debug, Default)]
pub struct Counting {
    held: Option<OwnedFd>,
    until: Option<Instant>,
}

impl Counting {
    pub fn ask(&mut self, until: Instant) {
        self.until = Some(self.until.map_or(until, |u| u.max(until)));
        if self.held.is_none() {
            match enable() {
                Ok(fd) => self.held = Some(fd),
                Err(e) => tracing::warn!("failed to have the kernel count the runs of programs: {e}"),
            }
        }
    }

    /// When to look again.
    pub fn tidy(&mut self, now: Instant) -> Option<Instant> {
        if self.until.is_some_and(|until| until <= now) {
            (self.held, self.until) = (None, None);
        }
        self.until
    }
}

fn enable() -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor, or fails.
    let fd = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Engine {
    /// Somebody wants to know what tracers cost, and may ask again.
    pub fn ask_for_cost(&mut self) {
        self.counting.ask(Instant::now() + LINGER);
    }

    /// What each tracer's programs have cost while it was counted.
    pub fn costs(&self) -> BTreeMap<String, Costs> {
        self.tracers.iter().map(|(name, t)| (name.clone(), self.cost(name, t))).collect()
    }

    pub(super) fn cost(&self, name: &str, tracer: &Tracer) -> Costs {
        let mut all = self.spent.get(name).cloned().unwrap_or_default();
        for (program, cost) in tracer.running_cost() {
            all.entry(program).or_default().add(cost);
        }
        all
    }

    /// Before its programs go: what they have cost stays.
    pub(super) fn keep_cost(&mut self, name: &str) {
        let Some(tracer) = self.tracers.get(name) else { return };
        let cost = self.cost(name, tracer);
        self.spent.insert(name.to_owned(), cost);
    }
}

impl Tracer {
    /// Of the programs there are: those of links taken over from an earlier daemon are others than the object's.
    fn running_cost(&self) -> Costs {
        let mut all = Costs::new();
        let Some(loaded) = &self.loaded else { return all };
        for (name, _) in &loaded.chosen {
            let own = loaded.object.progs().find(|p| p.name() == name.as_str());
            let own = own.and_then(|p| info(p.as_fd()));
            let held: BTreeSet<u32> =
                self.links().filter(|h| h.program == *name).flat_map(|h| h.ids.iter().copied()).collect();
            let others = held.into_iter().filter(|id| own.is_none_or(|(own, _)| own != *id));
            let others = others.filter_map(|id| info(by_id(id)?.as_fd()));
            for (_, cost) in own.into_iter().chain(others) {
                all.entry(name.clone()).or_default().add(cost);
            }
        }
        all
    }
}

fn by_id(id: u32) -> Option<OwnedFd> {
    // SAFETY: makes a descriptor, or fails.
    let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) };
    // SAFETY: just made, and nobody else's.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A program's id, and its cost.
fn info(program: BorrowedFd<'_>) -> Option<(u32, Cost)> {
    // SAFETY: plain data, for which zeroes are valid.
    let mut info: libbpf_sys::bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` outlives the call and is as long as it is told.
    let rc = unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &mut info, &mut len) };
    (rc == 0).then_some((info.id, Cost { runs: info.run_cnt, nanoseconds: info.run_time_ns }))
}
