//! The end of a container: removal of its cgroup, exit of its init, poststop, each a hint, none alone the truth.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use remora_wire::time::unix_ns;
use tokio::io::unix::AsyncFd;

use super::container::Container;
use super::record::Record;
use super::{Command, Left, Registry, Surveyed};
use crate::decode::value::rfc3339;
use crate::host::{cgroup, proc};
use crate::metrics;
use crate::ring::Gone;
use crate::tracer::engine::Meter;

/// Sockets outlive their cgroup by a little: what they report as they close still counts.
const LINGER: Duration = Duration::from_millis(500);
/// How often to look at the cgroups of containers that are about to end.
const LOOK: Duration = Duration::from_millis(200);
/// How often to look whether the last records of a container have been read.
const AGAIN: Duration = Duration::from_millis(20);
/// How often to look whether the cgroups of the others are still there: a removal's record may get lost.
const CHECK: Duration = Duration::from_secs(10);
/// Rows of each of its tables that an ended container leaves for a while.
const ROWS_KEPT: usize = 500;
/// How long records of an ended container may still be in the ring.
const FORGET: Duration = Duration::from_secs(5);

impl Registry {
    pub(super) fn watch_init(&mut self, index: u32) {
        let Some(container) = self.live.get_mut(&index) else { return };
        let record = &container.record;
        let (pid, cgroup, own) = (record.pid, record.key.cgroup, self.own.clone());
        let current = proc::start_time(pid).is_ok_and(|t| t == record.key.start_time);
        let fd = proc::pidfd_open(pid).ok().filter(|_| current);
        let (Some(fd), Ok(runtime)) = (fd, tokio::runtime::Handle::try_current()) else {
            // Init is gone already: `tend` finds out.
            return;
        };
        let task = runtime.spawn(async move {
            // SAFETY: the descriptor is owned by the AsyncFd and closed with it.
            if let Ok(fd) = unsafe { AsyncFd::register(fd) } {
                let _ = fd.readable().await;
                let _ = own.send(Command::InitExited { index, cgroup }).await;
            }
        });
        container.watch = Some(task.abort_handle());
    }

    pub(super) fn init_exited(&mut self, index: u32, cgroup: u64) {
        let meters = self.engine.meters();
        if let Some(c) = self.live.get_mut(&index).filter(|c| c.record.key.cgroup == cgroup) {
            c.record.ledger.ended_by("init exited");
            c.winding_down = true;
            // Its cgroup is removed any moment now.
            c.files.values(&meters, &c.record.tracers);
        }
    }

    /// The cgroup is removed, and all that was done in it has been read.
    pub(super) fn gone(&mut self, gone: Gone) {
        let of = |c: &&Container| c.record.key.cgroup == gone.root;
        let found: Vec<u32> = self.live.values().filter(of).map(|c| c.record.index).collect();
        found.into_iter().for_each(|index| self.finish(index, "cgroup removed"));
    }

    /// Its end is known; it leaves after a moment.
    pub(super) fn finish(&mut self, index: u32, why: &str) {
        let Some(container) = self.live.get_mut(&index) else { return };
        let ledger = &mut container.record.ledger;
        ledger.ended_by(why);
        if container.ending.is_none() {
            ledger.observed_to = Some(rfc3339(unix_ns()));
            container.ending = Some(Instant::now() + LINGER);
            container.patience = Some(Instant::now() + FORGET);
        }
    }

    /// What is due now; when the next thing is.
    pub(super) fn tend(&mut self, now: Instant) -> Option<Instant> {
        self.take_back();
        self.look_after_the_ending();
        self.look_for_escapes(now);
        let units = self.follow_units(now);
        let meters = self.engine.meters();
        let is_due = |c: &Container| {
            c.ending.is_some_and(|t| t <= now) && (c.patience.is_none_or(|t| t <= now) || c.is_read(&meters))
        };
        let due: Vec<u32> = self.live.iter().filter(|(_, c)| is_due(c)).map(|(i, _)| *i).collect();
        due.into_iter().for_each(|index| self.settle(index, now));
        self.watch_stacks(&meters);
        self.parting.retain(|(until, _)| *until > now);
        let mut forgotten = Vec::new();
        self.forgetting.retain(|(until, root)| {
            let keep = *until > now;
            forgotten.extend((!keep).then_some(*root));
            keep
        });
        // A cgroup may have been taken over by another generation.
        forgotten.retain(|root| self.live.values().all(|c| c.record.key.cgroup != *root));
        forgotten.into_iter().for_each(|root| self.directory.drop_subject(root));
        let (over, measure) = self.engine.over_budget(now);
        for (name, why) in over {
            tracing::warn!(tracer = name, "stopped: {why}");
            if let Err(e) = self.stop_tracer(&name, &why) {
                tracing::warn!("{e}");
            }
        }
        let tidied = self.engine.tidy(now);
        if self.live.is_empty() && self.scope.is_attached() && !self.engine.is_attached() {
            let links = self.scope.detach();
            self.engine.reap(links);
        }
        let ending = self.live.values().filter_map(|c| c.ending).min().map(|t| t.max(now + AGAIN));
        let look = self.live.values().any(|c| c.winding_down && c.ending.is_none()).then(|| now + LOOK);
        let check = (!self.live.is_empty()).then(|| now + CHECK);
        let rest = self.parting.iter().map(|(t, _)| *t).chain(self.forgetting.iter().map(|(t, _)| *t)).min();
        [ending, look, check, units, measure, tidied, rest].into_iter().flatten().min()
    }

    /// Says which tables with stacks are kept for somebody.
    fn watch_stacks(&mut self, meters: &[Meter]) {
        let with_stacks = |m: &&Meter| m.tables.iter().any(|t| t.stacks.is_some());
        let is_used = |m: &&Meter| self.live.values().any(|c| c.record.tracers.contains(&m.tracer));
        let used = meters.iter().filter(with_stacks).filter(is_used).flat_map(|m| &m.tables);
        self.stacks.watch(used.filter(|t| t.stacks.is_some()).cloned().collect());
    }

    fn look_after_the_ending(&mut self) {
        let mut over = Vec::new();
        for (index, container) in self.live.iter_mut().filter(|(_, c)| c.ending.is_none()) {
            let record = &mut container.record;
            let path = Path::new(&record.cgroup_path);
            if !cgroup::exists(path, record.key.cgroup) {
                over.push((*index, "cgroup found removed"));
                continue;
            }
            // A unit or cgroup has no init, and ends with its cgroup.
            if record.pid != 0 && !proc::start_time(record.pid).is_ok_and(|t| t == record.key.start_time) {
                container.winding_down = true;
                record.ledger.ended_by("init exited");
            }
            if container.winding_down && cgroup::populated(path).is_ok_and(|p| !p) {
                over.push((*index, "cgroup empty"));
            }
        }
        over.into_iter().for_each(|(index, why)| self.finish(index, why));
    }

    /// Closes the account: last counts, last values of its series, out of scope, off the tracers.
    pub(super) fn settle(&mut self, index: u32, now: Instant) {
        let Some(mut container) = self.live.remove(&index) else { return };
        let meters = self.engine.meters();
        container.settle(&meters);
        let escaped = self.scope.containers()[index as usize].escaped.load(Relaxed);
        if escaped > 0 {
            let note = format!("{escaped} nested cgroups found no room in the scope; raise limits.nested");
            container.record.ledger.note(note);
        }
        let mut values = metrics::values(&meters, index, &container.record.tracers);
        values.append(&mut container.files.values(&meters, &container.record.tracers));
        let values = Arc::new(values);
        let rows = Arc::new(metrics::tables::rows_of(&meters, index, &container.record.tracers, ROWS_KEPT));
        self.withdraw(&container.record);
        let left = metrics::tables::take(&meters, index, &container.record.tracers);
        self.stacks.ended(container.record.key.cgroup, left);
        metrics::clear(&meters, index);
        let record = container.record.clone();
        let view = record.view("ended");
        let left = || Left { view: view.clone(), values: values.clone(), rows: rows.clone() };
        self.history.tell(left);
        let parting = Surveyed { index: None, view, values, rows, files: Arc::default() };
        self.parting.push((now + self.config.limits.series_linger, parting));
        self.forgetting.push((now + FORGET, record.key.cgroup));
        tracing::info!(container = crate::decode::text::printable(&record.key.id), end = ?record.ledger.end, "ended");
        self.file(record);
    }

    /// Keeps a closed account, and not more of them than the bound.
    pub(super) fn file(&mut self, record: Record) {
        if let Err(e) = self.store.end(&record) {
            tracing::warn!("failed to keep the ledger of {}: {e}", record.key.id);
        }
        self.ended.push_back(record);
        while self.ended.len() > self.config.limits.ended {
            self.ended.pop_front();
        }
    }

    /// Out of scope first, then off the tracers.
    fn withdraw(&mut self, record: &Record) {
        self.scope.remove(record.index);
        for name in &record.tracers {
            self.engine.release(name, record.index, Instant::now());
        }
    }

    /// Undoes a registration that failed on its way.
    pub(super) fn abandon(&mut self, index: u32) {
        if let Some(container) = self.live.remove(&index) {
            self.withdraw(&container.record);
            self.directory.drop_subject(container.record.key.cgroup);
            self.store.remove(&container.record.key);
        }
    }
}
