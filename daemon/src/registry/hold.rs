//! Tracers that a container has for as long as somebody's connection is open. Who holds is known by a channel whose other
//! end goes with the connection; nothing of it is on disk, so that a daemon that comes next lets go by itself.

use remora_wire::{Annotations, KEY_PREFIX, KEY_TRACE, Notice};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::change::OFF;
use super::record::Record;
use super::{Known, Peer, Registry};
use crate::tracer::change::ChangeError;

/// How one that was in scope for who held it alone has ended.
pub(super) const LET_GO: &str = "let go";
const LATE: &str = "traced by request while it ran";

/// Who holds; dropped here when there is nothing left to hold.
pub type Holder = oneshot::Sender<()>;

#[derive(Debug)]
pub struct Hold {
    pub container: String,
    pub tracer: String,
    pub holder: Holder,
    /// The container that is meant, where it is not in scope.
    pub newcomer: Option<Newcomer>,
}

/// A container that runs, and that nobody wanted traced so far.
#[derive(Debug)]
pub struct Newcomer {
    pub notice: Box<Notice>,
    pub known: Known,
}

impl Newcomer {
    /// `known` is a manager's word, or what the container's own annotations say.
    pub fn new(notice: Notice, known: Known) -> Self {
        Self { notice: Box::new(notice), known: Known { keys: Some(Annotations::new()), ..known } }
    }

    /// What it would have told if it had asked for the tracer.
    fn asking_for(mut self, tracer: &str) -> Self {
        self.notice.annotations.retain(|key, _| !key.starts_with(KEY_PREFIX));
        self.notice.annotations.insert(KEY_TRACE.to_owned(), tracer.to_owned());
        self
    }
}

impl Record {
    /// In scope for who holds a tracer of it, and for nobody else.
    pub(super) fn is_passing(&self) -> bool {
        let chosen = self.choice.as_ref().is_none_or(|choice| !choice.keys.is_empty());
        !chosen && !self.switched.values().any(|on| *on)
    }
}

impl Registry {
    pub(super) fn hold(&mut self, hold: Hold) -> Result<Value, ChangeError> {
        let Hold { container, tracer, holder, newcomer } = hold;
        let index = match (self.meant(&container), newcomer) {
            (Err(ChangeError::Unknown(_)), Some(newcomer)) => self.admit_passing(newcomer, &tracer)?,
            (found, _) => found?,
        };
        if self.engine.bit(&tracer, index) == 0
            && let Err(e) = self.give(index, &tracer, Default::default())
        {
            self.let_pass(index);
            return Err(e);
        }
        let Some(container) = self.live.get_mut(&index) else {
            return Err(ChangeError::Conflict("the container has ended".into()));
        };
        container.held.entry(tracer.clone()).or_default().push(holder);
        let record = &container.record;
        Ok(json!({ "tracer": tracer, "id": record.key.id, "name": record.identity.name }))
    }

    fn admit_passing(&mut self, newcomer: Newcomer, tracer: &str) -> Result<u32, ChangeError> {
        let Newcomer { notice, known } = newcomer.asking_for(tracer);
        let entered = self.register(&notice, Peer { uid: 0 }, Some(LATE.to_owned()), Some(&known));
        entered.map_err(ChangeError::Refused)?;
        let index = self.meant(&notice.id)?;
        if let Some(container) = self.live.get_mut(&index) {
            container.record.asked.clear();
        }
        self.remember(index);
        Ok(index)
    }

    /// Takes back what nobody holds any more, and is not wanted otherwise.
    pub(super) fn take_back(&mut self) {
        let mut free = Vec::new();
        for (index, container) in &mut self.live {
            container.held.retain(|name, holders| {
                holders.retain(|holder| !holder.is_closed());
                if holders.is_empty() {
                    free.push((*index, name.clone()));
                }
                !holders.is_empty()
            });
        }
        for (index, name) in free {
            let Some(container) = self.live.get(&index).filter(|c| c.ending.is_none()) else { continue };
            if !self.wants(&container.record, &name) {
                self.take(index, &name, OFF);
                self.let_pass(index);
            }
        }
    }

    /// The end of one that nobody wants traced any more.
    fn let_pass(&mut self, index: u32) {
        let Some(container) = self.live.get(&index) else { return };
        if container.record.is_passing() && container.held.is_empty() {
            self.scope.set_tracers(index, 0);
            self.finish(index, LET_GO);
            self.remember(index);
        }
    }

    /// Of the daemon before: with it went who held.
    pub(super) fn let_pass_after_restart(&mut self, id: &str) {
        let of = |c: &super::Container| c.record.key.id == id && c.ending.is_none();
        let found: Vec<u32> = self.live.iter().filter(|(_, c)| of(c)).map(|(i, _)| *i).collect();
        found.into_iter().for_each(|index| self.let_pass(index));
    }
}
