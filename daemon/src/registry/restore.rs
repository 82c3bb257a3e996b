//! After a restart: who was there, is still there, or has gone meanwhile.

use std::{path::Path, sync::atomic::Ordering::Relaxed};

use super::Registry;
use super::attach::DETACHED;
use super::container::Container;
use super::hold::LET_GO;
use super::record::Record;
use crate::host::cgroup;

impl Registry {
    /// Takes up every record of this boot; what pinned programs reported meanwhile is still in the ring.
    pub(super) fn restore(&mut self) {
        let (now, before): (Vec<_>, Vec<_>) =
            self.store.live().into_iter().partition(|r| r.boot == self.boot);
        for mut record in before {
            record.ledger.ended_by("host restarted");
            record.ledger.note("when exactly it ended is not known");
            let _ = self.store.end(&record);
            self.ended.push_back(record);
        }
        let table = self.scope.containers();
        let mut known = Vec::new();
        for record in now {
            known.push(record.index);
            let detached = record.ledger.end.iter().any(|why| why == DETACHED).then(|| record.key.id.clone());
            let passing = record.is_passing().then(|| record.key.id.clone());
            self.take_up(record);
            detached.iter().for_each(|id| self.let_go(id));
            passing.iter().for_each(|id| self.let_pass_after_restart(id));
        }
        // Places of nobody known, of a daemon that was killed before it could write down who it was.
        for index in 0..table.len() as u32 {
            if table[index as usize].root.load(Relaxed) != 0 && !known.contains(&index) {
                self.scope.remove(index);
            }
        }
        self.engine.settle_in();
        // Links left by a daemon that had somebody in scope: taken over, so that they can be let go.
        if self.scope.is_left_attached()
            && let Err(e) = self.scope.attach()
        {
            tracing::warn!("{e}");
        }
    }

    fn take_up(&mut self, mut record: Record) {
        let pinned = self.scope.containers().get(record.index as usize).map(|c| c.root.load(Relaxed));
        let alive = cgroup::exists(Path::new(&record.cgroup_path), record.key.cgroup);
        let watched = pinned == Some(record.key.cgroup);
        if watched && alive {
            self.resume(record);
            return;
        }
        if alive && record.is_passing() {
            record.ledger.ended_by(LET_GO);
            return self.file(record);
        }
        if alive {
            record.tracers = self.still_wanted(&record);
            record
                .ledger
                .note("the programs of the daemon before were gone, or of another version: what it had not read is missing");
            record.ledger.late.get_or_insert_with(|| "the daemon's pinned state was removed".into());
            if let Some(index) = self.scope.free_index() {
                record.index = index;
                record.base.clear();
                record.escapes.clear();
                let id = record.key.id.clone();
                if let Err(e) = self.enter(record) {
                    tracing::warn!(container = id, "failed to take up again: {e}");
                }
            }
            return;
        }
        // Gone meanwhile: its last records are in the ring, and are read before it is let go.
        let index = record.index;
        let container = Container::new(record);
        self.directory.put_subject(container.record.key.cgroup, container.subject.clone());
        let tracers = container.record.tracers.clone();
        self.engine.preload(&tracers);
        self.live.insert(index, container);
        self.finish(index, "cgroup removed while the daemon was away");
    }

    /// Of the tracers that it has had.
    fn still_wanted(&self, record: &Record) -> Vec<String> {
        // An early version did not write down what was asked for.
        let is_told = record.choice.is_some() || !record.asked.is_empty();
        let is_off = |name: &String| record.switched.get(name) == Some(&false);
        let wanted = |name: &&String| !is_off(name) && (!is_told || self.wants(record, name));
        record.tracers.iter().filter(wanted).cloned().collect()
    }

    /// The programs ran on; only the daemon's own part is made anew.
    fn resume(&mut self, mut record: Record) {
        let (index, root) = (record.index, record.key.cgroup);
        if let Err(e) = self.attach_scope() {
            record.ledger.note(e.to_string());
        }
        let place = record.place();
        let mut mask = 0;
        for name in self.still_wanted(&record) {
            if self.engine.is_stopped(&name) {
                continue;
            }
            match self.engine.acquire(&name, &place, &record.params_of(&name)) {
                Ok(bit) => mask |= bit,
                Err(e) => record.ledger.note(e),
            }
        }
        let container = Container::new(record);
        self.directory.put_subject(root, container.subject.clone());
        self.scope.set_tracers(index, mask);
        self.live.insert(index, container);
    }
}
