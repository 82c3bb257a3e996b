//! Cgroups that no runtime made: a unit of systemd, a process's, any by its path. Root says which, and from then on they
//! are containers like others. A unit is followed: each start of it is another generation, until it is detached.

mod list;
mod wake;
mod wish;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use remora_wire::{Namespaces, time::unix_ns};
use serde_json::{Value, json};

use super::record::{Key, Ledger, Record, View, is_meant};
use super::{Container, Registry};
use crate::decode::{text::printable, value::rfc3339};
use crate::host::cgroup::{self, Cgroup, CgroupError};
use crate::oci::Identity;
use crate::tracer::change::ChangeError;
pub use list::Following;
use list::{List, Wanted};
pub use wish::Wish;
use wish::{Subject, Target};

/// How often to look for a unit that does not run, beside being told.
const LOOK: Duration = Duration::from_secs(1);
/// How long to leave alone what could not be put in scope.
const REST: Duration = Duration::from_secs(10);
/// How what was detached has ended.
pub(super) const DETACHED: &str = "detached";
const LATE: &str = "attached while it ran";

/// Units that are followed, and what tells that one may have started.
#[derive(Debug)]
pub(super) struct Units {
    list: List,
    wake: Option<wake::Wake>,
}

impl Units {
    pub(super) fn load(state: &std::path::Path) -> Self {
        Self { list: List::load(state), wake: None }
    }
}

impl Registry {
    pub(super) fn attach_to(&mut self, wish: Wish) -> Result<Value, ChangeError> {
        let wanted = self.understood(&wish)?;
        match wish.target()? {
            Target::Unit(unit) => self.attach_unit(unit, &wish, wanted),
            Target::Pid(pid) => {
                let group = self.cgroups.of_pid(pid).map_err(unknown)?;
                let subject = Subject::process(pid, &group, &wish)?;
                self.attach_group(&group, &subject, &wanted)
            }
            Target::Cgroup(path) => {
                let group = self.cgroups.named(path).map_err(unknown)?;
                let subject = Subject::cgroup(&group, &wish)?;
                self.attach_group(&group, &subject, &wanted)
            }
        }
    }

    /// What is asked of tracers, checked while there is somebody to tell.
    fn understood(&self, wish: &Wish) -> Result<Wanted, ChangeError> {
        let asked = wish.tracers()?;
        if let Some(name) = self.engine.resolve(&asked).1.first() {
            return Err(ChangeError::Refused(format!("no tracer or group {name}")));
        }
        let mut params = BTreeMap::new();
        for (tracer, values) in &wish.params {
            params.insert(tracer.clone(), self.engine.fit_own(tracer, values)?);
        }
        Ok(Wanted { asked, params })
    }

    fn attach_unit(&mut self, unit: String, wish: &Wish, wanted: Wanted) -> Result<Value, ChangeError> {
        let subject = Subject::unit(&unit, wish)?;
        self.is_free(&subject)?;
        if self.units.list.all().len() >= self.config.limits.containers as usize {
            return Err(ChangeError::Conflict(
                "as many units are attached already as limits.containers says".into(),
            ));
        }
        let group = self.cgroups.of_unit(&unit);
        let following = Following::new(unit, subject.name.clone(), wanted.clone());
        let view = match &group {
            Some(group) => self.attach_group(group, &subject, &wanted)?,
            None => json!(following.view()),
        };
        if let Err(e) = self.units.list.add(following) {
            let why = format!("failed to keep what is attached: {e}");
            self.let_go(&subject.id);
            return Err(ChangeError::Failed(why));
        }
        self.engine.preload(&self.engine.resolve(&wanted.asked).0);
        Ok(view)
    }

    fn attach_group(
        &mut self,
        group: &Cgroup,
        subject: &Subject,
        wanted: &Wanted,
    ) -> Result<Value, ChangeError> {
        self.is_free(subject)?;
        let index = self.put_in_scope(group, subject, wanted)?;
        let container = &self.live[&index];
        Ok(json!(self.view(container, &self.engine.meters())))
    }

    /// Nobody else may bear the id or the name.
    fn is_free(&self, subject: &Subject) -> Result<(), ChangeError> {
        let means = |id: &str, name: &str| {
            [&subject.id, &subject.name].into_iter().any(|word| is_meant(word, id, name))
        };
        let live = self.live.values().filter(|c| c.ending.is_none()).map(|c| &c.record);
        let taken = live.map(|r| (&r.key.id, &r.identity.name));
        let mut taken = taken.chain(self.units.list.all().iter().map(|f| (&f.unit, &f.name)));
        match taken.find(|(id, name)| means(id, name)) {
            None => Ok(()),
            Some((id, name)) => Err(ChangeError::Conflict(format!("{name} ({id}) is in scope already"))),
        }
    }

    /// One cgroup has one account: not two, and none within another's.
    fn is_apart(&self, group: &Cgroup) -> Result<(), ChangeError> {
        let around = |c: &&Container| {
            c.ending.is_none() && group.path.starts_with(&c.record.cgroup_path) && !c.record.is_gone()
        };
        match self.live.values().find(around) {
            None => Ok(()),
            Some(c) => Err(ChangeError::Conflict(format!(
                "its cgroup {} is that of {}, or within it",
                group.relative, c.record.identity.name
            ))),
        }
    }

    fn put_in_scope(
        &mut self,
        group: &Cgroup,
        subject: &Subject,
        wanted: &Wanted,
    ) -> Result<u32, ChangeError> {
        self.cgroups.admit(group).map_err(|e| ChangeError::Refused(e.to_string()))?;
        self.is_apart(group)?;
        let full = || ChangeError::Conflict("all places are taken; raise limits.containers".into());
        let index = self.scope.free_index().ok_or_else(full)?;
        let record = self.attached_record(index, group, subject, wanted);
        self.enter(record).map_err(ChangeError::Conflict)?;
        if cgroup::is_untouched(&group.path)
            && let Some(container) = self.live.get_mut(&index)
        {
            // It was in scope before anything ran.
            container.record.ledger.late = None;
            self.remember(index);
        }
        tracing::info!(container = printable(&subject.id), "attached {}", printable(&group.relative));
        Ok(index)
    }

    fn attached_record(&self, index: u32, group: &Cgroup, subject: &Subject, wanted: &Wanted) -> Record {
        let (tracers, unknown) = self.engine.resolve(&wanted.asked);
        let mut ledger =
            Ledger { observed_from: rfc3339(unix_ns()), late: Some(LATE.into()), ..Ledger::default() };
        unknown.iter().for_each(|name| ledger.note(format!("unknown tracer {name}")));
        Record {
            key: Key { id: subject.id.clone(), cgroup: group.id, start_time: subject.start_time },
            boot: self.boot.clone(),
            index,
            pid: subject.pid,
            attached: true,
            cgroup_path: group.path.display().to_string(),
            identity: Identity {
                id: subject.id.clone(),
                name: subject.name.clone(),
                runtime: subject.kind.to_owned(),
                ..Identity::default()
            },
            namespaces: Namespaces::default(),
            controllers: cgroup::controllers::at(&group.relative),
            asked: wanted.asked.clone(),
            choice: None,
            escapes: Vec::new(),
            switched: BTreeMap::new(),
            params: wanted.params.clone(),
            tracers,
            ledger,
            base: BTreeMap::new(),
        }
    }

    /// Ends what was attached, running or not, by its id or name.
    pub(super) fn detach(&mut self, wanted: &str) -> Result<Value, ChangeError> {
        let unit = self.units.list.take(wanted);
        let unit = unit.map_err(|e| ChangeError::Failed(format!("failed to keep what is attached: {e}")))?;
        let id = match unit {
            Some(unit) => unit.unit,
            None => {
                let record = &self.live[&self.meant(wanted)?].record;
                if !record.attached {
                    let name = &record.identity.name;
                    return Err(ChangeError::Conflict(format!(
                        "container {name} opted in by itself; what it has can be switched off"
                    )));
                }
                record.key.id.clone()
            }
        };
        self.let_go(&id);
        Ok(json!({ "detached": id }))
    }

    /// It reports nothing from here on; the rest is an end like any other.
    pub(super) fn let_go(&mut self, id: &str) {
        let of = |c: &Container| c.record.attached && c.record.key.id == id && c.ending.is_none();
        let found: Vec<u32> = self.live.iter().filter(|(_, c)| of(c)).map(|(i, _)| *i).collect();
        for index in found {
            self.scope.set_tracers(index, 0);
            self.finish(index, DETACHED);
            // A daemon that is killed now must not leave another that goes on.
            self.remember(index);
        }
    }

    /// Units that are attached and do not run.
    pub(super) fn waiting(&self) -> impl Iterator<Item = View> {
        self.units.list.all().iter().filter(|f| !self.runs(f)).map(Following::view)
    }

    fn runs(&self, following: &Following) -> bool {
        let of = |c: &Container| c.record.attached && c.record.key.id == following.unit;
        self.live.values().any(|c| c.ending.is_none() && of(c))
    }

    /// Something was made where units have their cgroups.
    pub(super) fn look_for_units(&mut self) {
        self.units.list.due_now();
    }

    /// Takes up units that have started; when to look again.
    pub(super) fn follow_units(&mut self, now: Instant) -> Option<Instant> {
        let all = self.units.list.all().iter().enumerate();
        let idle: Vec<usize> = all.filter(|(_, f)| !self.runs(f)).map(|(at, _)| at).collect();
        if idle.is_empty() {
            self.units.wake = None;
            return None;
        }
        let is_due = |at: &&usize| self.units.list.all()[**at].due <= now;
        let due: Vec<usize> = idle.iter().filter(is_due).copied().collect();
        if !due.is_empty() {
            // First the watches, then the look: what is made in between is told.
            self.watch_slices();
        }
        for at in due {
            let outcome = self.take_up_unit(at);
            self.units.list.tried(at, outcome, now);
        }
        idle.iter().map(|at| self.units.list.all()[*at].due).min()
    }

    fn take_up_unit(&mut self, at: usize) -> Result<(), ChangeError> {
        let following = &self.units.list.all()[at];
        let Some(group) = self.cgroups.of_unit(&following.unit) else {
            return Err(ChangeError::Unknown("it does not run".into()));
        };
        let (subject, wanted) = (following.subject(), following.wanted.clone());
        self.put_in_scope(&group, &subject, &wanted).map(drop)
    }

    fn watch_slices(&mut self) {
        let wake = match self.units.wake.take() {
            Some(wake) => Some(wake),
            None => wake::Wake::new(self.own.clone())
                .map_err(|e| tracing::warn!("failed to watch cgroups, so looking each second: {e}"))
                .ok(),
        };
        if let Some(wake) = &wake {
            self.cgroups.slices().iter().for_each(|slice| wake.watch(slice));
        }
        self.units.wake = wake;
    }
}

fn unknown(error: CgroupError) -> ChangeError {
    ChangeError::Unknown(error.to_string())
}
