//! Intake: a notice becomes a container in scope, or a clear refusal with nothing left half done.

use std::{collections::BTreeMap, time::Instant};

use remora_wire::{Ack, Notice, Stage, time::unix_ns};

use super::container::{Container, base_at};
use super::record::{Key, Ledger, Record};
use super::{Known, Left, Peer, Registry};
use crate::decode::{text::printable, value::rfc3339};
use crate::host::{cgroup, proc};
use crate::oci::{Identity, OptIn};
use crate::scope::ScopeError;
use crate::tracer::params::{ParamValue, Values};

type Refusal = String;

const NOT_IN_SCOPE: &str = "not in scope";

impl Registry {
    pub(super) fn notice(
        &mut self,
        notice: &Notice,
        peer: Peer,
        late: Option<String>,
        known: Option<&Known>,
    ) -> Ack {
        let result = match notice.stage {
            Stage::Poststop => self.poststop(notice, peer),
            Stage::CreateRuntime | Stage::Prestart => self.register(notice, peer, late, known),
        };
        if let (Err(why), Stage::CreateRuntime | Stage::Prestart, 0) = (&result, notice.stage, peer.uid) {
            self.refused(notice, why);
        }
        let id = printable(&notice.id);
        match result {
            // Nobody's business: while labels matter, poststop comes of everybody.
            Ok(message) if message == NOT_IN_SCOPE => Ack { ok: true, message },
            Ok(message) => {
                tracing::info!(container = id, stage = ?notice.stage, "{message}");
                Ack { ok: true, message }
            }
            Err(message) => {
                tracing::warn!(container = id, stage = ?notice.stage, "refused: {message}");
                Ack { ok: false, message }
            }
        }
    }

    pub(super) fn register(
        &mut self,
        notice: &Notice,
        peer: Peer,
        late: Option<String>,
        known: Option<&Known>,
    ) -> Result<String, Refusal> {
        let opt_in = OptIn::from_annotations(&notice.annotations).map_err(|e| e.to_string())?;
        let opt_in = opt_in.ok_or("not opted in: no annotation io.remora.trace")?;
        let pid = notice.pid.filter(|p| *p > 1).ok_or("the notice has no pid")?;
        let start_time = match current(pid, notice.start_time) {
            Ok(start_time) => start_time,
            // One that must not run untraced was not started.
            Err(_) if late.is_some() && peer.uid == 0 && !remora_wire::is_required(&notice.annotations) => {
                return Ok(self.missed(notice, &opt_in, late));
            }
            Err(e) => return Err(e),
        };
        may_speak_for(peer, pid)?;
        let group = self.cgroups.of_pid(pid).map_err(|e| e.to_string())?;
        self.cgroups.admit(&group).map_err(|e| e.to_string())?;
        let key = Key { id: notice.id.clone(), cgroup: group.id, start_time };
        if let Some(index) = self.index_of(&key) {
            // prestart and createRuntime are both configured, or a notice was replayed.
            return Ok(format!("in scope already, place {index}"));
        }
        self.replace_generation(&key, peer)?;
        let (tracers, unknown) = self.engine.resolve(&opt_in.tracers);
        let late = late.or_else(|| {
            let told = "the notice came after its first exec";
            (!proc::has_not_executed(pid)).then(|| told.to_owned())
        });
        let mut ledger = Ledger { observed_from: rfc3339(unix_ns()), late, ..Ledger::default() };
        for name in &unknown {
            ledger.note(format!("unknown tracer {name}"));
        }
        for warning in &opt_in.warnings {
            ledger.note(printable(warning));
        }
        let params = self.own_params(&opt_in, &mut ledger);
        if tracers.is_empty() {
            return Err(format!("no known tracer in {}", opt_in.tracers.join(",")));
        }
        let mut identity = Identity::from_notice(notice);
        identity.complete();
        if let Some(known) = known {
            identity.learn(&known.learnt);
        }
        let record = Record {
            boot: self.boot.clone(),
            index: self.scope.free_index().ok_or("all places are taken; raise limits.containers")?,
            pid,
            attached: false,
            cgroup_path: group.path.display().to_string(),
            identity,
            namespaces: notice.namespaces,
            base: BTreeMap::new(),
            controllers: cgroup::controllers::of_init(pid),
            asked: opt_in.tracers,
            choice: known.and_then(Known::choice),
            escapes: Vec::new(),
            switched: BTreeMap::new(),
            params,
            tracers,
            ledger,
            key,
        };
        self.enter(record)
    }

    /// Parameters that the container sets for itself; those that cannot be are noted, and left out.
    pub(super) fn own_params(&self, opt_in: &OptIn, ledger: &mut Ledger) -> BTreeMap<String, Values> {
        let mut all: BTreeMap<String, Values> = BTreeMap::new();
        for (tracer, name, value) in &opt_in.params {
            let value = Values::from([(name.clone(), ParamValue::Text(value.clone()))]);
            match self.engine.fit_own(tracer, &value) {
                Ok(values) => all.entry(tracer.clone()).or_default().extend(values),
                Err(why) => ledger.note(printable(&why.to_string())),
            }
        }
        all
    }

    /// Attaches, then brings the cgroup and its children into scope, then remembers.
    pub(super) fn enter(&mut self, mut record: Record) -> Result<String, Refusal> {
        let fresh = record.ledger.late.is_none();
        self.attach_scope().map_err(|e| e.to_string())?;
        let (index, root) = (record.index, record.key.cgroup);
        let place = record.place();
        let mut mask = 0;
        let mut attached = Vec::new();
        for name in &record.tracers {
            match self.engine.acquire(name, &place, &record.params_of(name)) {
                Ok(bit) => {
                    mask |= bit;
                    attached.push(name.clone());
                }
                Err(e) => {
                    tracing::error!("{e}");
                    record.ledger.note(printable(&e));
                }
            }
        }
        let wanted = std::mem::replace(&mut record.tracers, attached);
        // What is stopped may be started again while it runs.
        let stopped = wanted.iter().any(|name| self.engine.is_stopped(name));
        if record.tracers.is_empty() && !wanted.is_empty() && !stopped {
            return Err(format!("none of the tracers {} can be attached", wanted.join(",")));
        }
        if record.base.is_empty() {
            let meters = self.engine.meters();
            record.base = record.tracers.iter().map(|t| (t.clone(), base_at(&meters, t, index))).collect();
        }
        let mut container = Container::new(record);
        self.directory.put_subject(root, container.subject.clone());
        self.scope.fill(index, root, mask, if fresh { container.record.pid } else { 0 });
        let entered = self.scope.admit(root, index).map_err(|e| e.to_string());
        // First the root, then those below: what is made meanwhile inherits in the kernel. Containers that are
        // in scope by themselves stay so.
        let others = self.live.values().map(|c| c.record.key.cgroup).filter(|id| *id != root).collect();
        let below = entered.and_then(|()| {
            cgroup::subtree(&place.cgroup, &others)
                .into_iter()
                .filter(|id| *id != root)
                .try_for_each(|id| self.scope.admit(id, index).map_err(|e| e.to_string()))
        });
        let pid = container.record.pid;
        if fresh && !proc::has_not_executed(pid) && self.scope.init_of(index) == pid {
            // Nobody waited for us: it went on meanwhile.
            self.scope.set_init(index, 0);
            container.record.ledger.late = Some("its first exec came before it was in scope".into());
        }
        let kept = below.and_then(|()| {
            self.store.put(&container.record).map_err(|e| format!("failed to keep the record: {e}"))
        });
        self.live.insert(index, container);
        if let Err(e) = kept {
            self.abandon(index);
            return Err(e);
        }
        self.watch_init(index);
        let container = &self.live[&index];
        let notes = container.record.ledger.notes.join("; ");
        let message = format!("in scope for {}", container.record.tracers.join(","));
        Ok(if notes.is_empty() { message } else { format!("{message} ({notes})") })
    }

    pub(super) fn attach_scope(&mut self) -> Result<(), ScopeError> {
        if !self.scope.is_attached() {
            self.engine.settle();
        }
        self.scope.attach()
    }

    /// It came and went while nobody listened: all that can be told is that it was there.
    fn missed(&mut self, notice: &Notice, opt_in: &OptIn, late: Option<String>) -> String {
        let ledger = Ledger { late, end: vec!["found gone".to_owned()], ..Ledger::default() };
        let note = "it ended before the daemon heard of it: nothing of it was observed";
        self.account(notice, opt_in, ledger, note);
        "missed: it ended before the daemon heard of it".to_owned()
    }

    /// Who asked to be traced and is not is in the ledger, too. Only root's word makes an entry.
    fn refused(&mut self, notice: &Notice, why: &str) {
        if let Ok(Some(opt_in)) = OptIn::from_annotations(&notice.annotations) {
            let ledger = Ledger { end: vec!["refused".to_owned()], ..Ledger::default() };
            self.account(notice, &opt_in, ledger, &format!("not traced: {}", printable(why)));
        }
    }

    /// An account that is closed as it is opened, once for each start of a container.
    fn account(&mut self, notice: &Notice, opt_in: &OptIn, mut ledger: Ledger, note: &str) {
        let start_time = notice.start_time.unwrap_or_default();
        let same = |r: &Record| r.key.id == notice.id && r.key.start_time == start_time;
        if self.live.values().any(|c| same(&c.record)) || self.ended.iter().any(same) {
            return;
        }
        let told = rfc3339(notice.at);
        ledger.observed_to = Some(told.clone());
        ledger.observed_from = told;
        ledger.note(note);
        let record = Record {
            key: Key { id: notice.id.clone(), cgroup: 0, start_time },
            boot: self.boot.clone(),
            index: u32::MAX,
            pid: notice.pid.unwrap_or_default(),
            attached: false,
            cgroup_path: String::new(),
            identity: Identity::from_notice(notice),
            namespaces: notice.namespaces,
            tracers: self.engine.resolve(&opt_in.tracers).0,
            controllers: BTreeMap::new(),
            asked: opt_in.tracers.clone(),
            choice: None,
            escapes: Vec::new(),
            switched: BTreeMap::new(),
            params: BTreeMap::new(),
            ledger,
            base: BTreeMap::new(),
        };
        self.history.tell(|| Left::bare(record.view("ended")));
        self.file(record);
    }

    pub(super) fn index_of(&self, key: &Key) -> Option<u32> {
        self.live.iter().find(|(_, c)| c.record.key == *key && c.ending.is_none()).map(|(i, _)| *i)
    }

    /// The same id, or the same cgroup, with another process: what was there before has ended.
    fn replace_generation(&mut self, key: &Key, peer: Peer) -> Result<(), Refusal> {
        let same = |c: &Container| c.record.key.cgroup == key.cgroup || c.record.key.id == key.id;
        let old: Vec<u32> = self.live.iter().filter(|(_, c)| same(c)).map(|(i, _)| *i).collect();
        for index in old {
            let container = &self.live[&index].record;
            if container.key == *key {
                // It was let go of, and is wanted again: its first account is closed at once.
                self.settle(index, Instant::now());
                continue;
            }
            let alive = proc::start_time(container.pid).is_ok_and(|t| t == container.key.start_time);
            if alive && container.key.cgroup == key.cgroup && container.key.id != key.id {
                return Err(format!("its cgroup is that of container {}", printable(&container.key.id)));
            }
            // Nobody ends somebody else's account by using its id.
            if !container.is_gone() {
                may_speak_for(peer, container.pid)?;
            }
            self.finish(index, "replaced by a new generation");
        }
        Ok(())
    }

    fn poststop(&mut self, notice: &Notice, peer: Peer) -> Result<String, Refusal> {
        // Of several generations the newest, which may be on its way out already.
        let of = |c: &&mut Container| c.record.key.id == notice.id;
        let Some(container) = self.live.values_mut().filter(of).max_by_key(|c| c.ending.is_none()) else {
            return Ok(NOT_IN_SCOPE.to_owned());
        };
        if peer.uid != 0 {
            may_speak_for(peer, container.record.pid)?;
        }
        container.record.ledger.ended_by("poststop");
        container.winding_down = true;
        Ok("its end is awaited".to_owned())
    }
}

/// Start time of the process that is meant; the error says that it is gone.
fn current(pid: u32, told: Option<u64>) -> Result<u64, Refusal> {
    let start_time = proc::start_time(pid).map_err(|e| format!("failed to find process {pid}: {e}"))?;
    if told.is_some_and(|told| told != start_time) {
        return Err(format!("process {pid} is another one by now"));
    }
    Ok(start_time)
}

/// Root may speak for everybody; a user for processes of its own, in its own user namespaces too.
fn may_speak_for(peer: Peer, pid: u32) -> Result<(), Refusal> {
    if peer.uid == 0 {
        return Ok(());
    }
    let own = proc::real_uid(pid).is_ok_and(|uid| uid == peer.uid)
        || proc::userns_owner(pid).is_ok_and(|uid| uid == peer.uid);
    if own { Ok(()) } else { Err(format!("user {} may not register process {pid}", peer.uid)) }
}
