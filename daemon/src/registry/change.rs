//! Changes that somebody asks for while everything runs: of tracers, and of what one container has.

use serde_json::{Value, json};

use super::attach::Wish;
use super::container::base_at;
use super::hold::Hold;
use super::record::{Record, is_meant};
use super::{Container, Registry};
use crate::tracer::ObjectFile;
use crate::tracer::budget::Budget;
use crate::tracer::change::ChangeError;
use crate::tracer::params::Values;

#[derive(Debug)]
pub enum Change {
    /// A new object, or one in the place of another; it has survived a trial. With the name it was sent under.
    Place(Option<String>, ObjectFile),
    Unplace(String),
    Start(String),
    Stop(String),
    SetParams(String, Values),
    SetBudget(String, Budget),
    /// What one container has of a tracer.
    Own {
        container: String,
        tracer: String,
        own: Own,
    },
    /// For as long as whoever asks is there.
    Hold(Hold),
    /// A unit, process or cgroup becomes a container.
    Attach(Wish),
    Detach(String),
}

#[derive(Debug)]
pub enum Own {
    On(Values),
    Off,
    Set(Values),
}

/// Why a tracer is stopped that somebody stopped.
const BY_REQUEST: &str = "by request";
/// What a ledger says of a tracer that was switched off.
pub(super) const OFF: &str = "off";

impl Registry {
    pub(super) fn change(&mut self, change: Change) -> Result<Value, ChangeError> {
        match change {
            Change::Place(name, file) => {
                let placed = self.engine.place(name.as_deref(), file)?;
                self.offer(&placed.tracer);
                Ok(json!(placed))
            }
            Change::Unplace(name) => {
                let gone = self.engine.unplace(&name)?;
                if gone {
                    self.withdraw_all(&name, "removed");
                }
                Ok(json!({ "tracer": name, "gone": gone }))
            }
            Change::Start(name) => {
                self.engine.start(&name)?;
                self.offer(&name);
                Ok(json!({ "tracer": name, "stopped": false }))
            }
            Change::Stop(name) => {
                self.stop_tracer(&name, BY_REQUEST)?;
                Ok(json!({ "tracer": name, "stopped": true }))
            }
            Change::SetParams(name, values) => {
                self.engine.set_params(&name, values)?;
                Ok(json!({ "tracer": name, "set": self.engine.params(&name) }))
            }
            Change::SetBudget(name, budget) => {
                self.engine.set_budget(&name, budget)?;
                Ok(json!({ "tracer": name, "budget": self.engine.budget(&name) }))
            }
            Change::Own { container, tracer, own } => {
                let index = self.meant(&container)?;
                self.is_known(&tracer)?;
                match own {
                    Own::On(values) => self.switch_on(index, &tracer, values),
                    Own::Off => self.switch_off(index, &tracer),
                    Own::Set(values) => self.set_own(index, &tracer, values),
                }
            }
            Change::Hold(hold) => {
                self.is_known(&hold.tracer)?;
                self.hold(hold)
            }
            Change::Attach(wish) => self.attach_to(wish),
            Change::Detach(wanted) => self.detach(&wanted),
        }
    }

    fn is_known(&self, tracer: &str) -> Result<(), ChangeError> {
        let unknown = || ChangeError::Unknown(format!("no tracer {tracer}"));
        self.engine.description(tracer).map(drop).ok_or_else(unknown)
    }

    /// The live container of this id or name.
    pub(super) fn meant(&self, wanted: &str) -> Result<u32, ChangeError> {
        let of =
            |c: &Container| c.ending.is_none() && is_meant(wanted, &c.record.key.id, &c.record.identity.name);
        let all: Vec<u32> = self.live.iter().filter(|(_, c)| of(c)).map(|(i, _)| *i).collect();
        match all[..] {
            [index] => Ok(index),
            [] => Err(ChangeError::Unknown(format!("no container {wanted} that runs"))),
            _ => Err(ChangeError::Conflict(format!(
                "{} containers are called {wanted}: say its id",
                all.len()
            ))),
        }
    }

    fn set_own(&mut self, index: u32, name: &str, values: Values) -> Result<Value, ChangeError> {
        let all = self.engine.set_own_params(name, index, values)?;
        self.record(index)?.params.insert(name.to_owned(), all.clone());
        self.remember(index);
        Ok(json!({ "tracer": name, "set": all }))
    }

    /// Nobody has the tracer from here on; what was counted stays.
    pub(super) fn stop_tracer(&mut self, name: &str, why: &str) -> Result<(), ChangeError> {
        self.engine.stop(name, why)?;
        self.withdraw_all(name, &format!("stopped: {why}"));
        self.engine.detach(name);
        Ok(())
    }

    fn withdraw_all(&mut self, name: &str, why: &str) {
        let has = |c: &Container| c.record.tracers.iter().any(|t| t == name);
        let having: Vec<u32> = self.live.iter().filter(|(_, c)| has(c)).map(|(i, _)| *i).collect();
        having.into_iter().for_each(|index| self.take(index, name, why));
    }

    /// Who wants the tracer and does not have it gets it.
    fn offer(&mut self, name: &str) {
        let wanting = |(index, c): (&u32, &Container)| {
            (self.engine.bit(name, *index) == 0 && self.wants(&c.record, name)).then_some(*index)
        };
        let wanting: Vec<u32> = self.live.iter().filter_map(wanting).collect();
        for index in wanting {
            if let Err(why) = self.give(index, name, Values::new()) {
                tracing::warn!("{why}");
            }
        }
    }

    pub(super) fn wants(&self, record: &Record, name: &str) -> bool {
        let asked = || self.engine.resolve(&record.asked).0.iter().any(|t| t == name);
        record.switched.get(name).copied().unwrap_or_else(asked)
    }

    pub(super) fn give(&mut self, index: u32, name: &str, values: Values) -> Result<(), ChangeError> {
        let record = self.record(index)?;
        let mut params = record.params_of(name);
        params.extend(values);
        let place = record.place();
        self.engine.acquire(name, &place, &params).map_err(ChangeError::Conflict)?;
        let base = base_at(&self.engine.meters(), name, index);
        let record = self.record(index)?;
        if !record.tracers.iter().any(|t| t == name) {
            record.tracers.push(name.to_owned());
            record.base.insert(name.to_owned(), base);
        }
        if !params.is_empty() {
            record.params.insert(name.to_owned(), params);
        }
        record.ledger.changed(name, "on");
        self.mask(index);
        self.remember(index);
        Ok(())
    }

    /// First it reports no more, then it is detached. Who holds it has nothing to hold any more.
    pub(super) fn take(&mut self, index: u32, name: &str, why: &str) {
        self.scope.clear_tracers(index, self.engine.bit(name, index));
        self.engine.release(name, index, std::time::Instant::now());
        self.mask(index);
        if let Some(container) = self.live.get_mut(&index) {
            container.held.remove(name);
        }
        if let Ok(record) = self.record(index) {
            record.ledger.changed(name, why);
        }
        self.remember(index);
    }

    fn switch_on(&mut self, index: u32, name: &str, values: Values) -> Result<Value, ChangeError> {
        let values = self.engine.fit_own(name, &values)?;
        if self.engine.bit(name, index) == 0 {
            self.give(index, name, values)?;
        } else if !values.is_empty() {
            self.set_own(index, name, values)?;
        }
        self.record(index)?.switched.insert(name.to_owned(), true);
        self.remember(index);
        Ok(json!({ "tracer": name, "on": true }))
    }

    fn switch_off(&mut self, index: u32, name: &str) -> Result<Value, ChangeError> {
        self.record(index)?.switched.insert(name.to_owned(), false);
        if self.engine.bit(name, index) == 0 {
            self.remember(index);
        } else {
            self.take(index, name, OFF);
        }
        Ok(json!({ "tracer": name, "on": false }))
    }

    /// Tells the kernel which tracers the container has now; one that ends gets none any more.
    fn mask(&self, index: u32) {
        let Some(container) = self.live.get(&index).filter(|c| c.ending.is_none()) else { return };
        let names = container.record.tracers.iter();
        self.scope.set_tracers(index, names.map(|name| self.engine.bit(name, index)).fold(0, |a, b| a | b));
    }

    fn record(&mut self, index: u32) -> Result<&mut Record, ChangeError> {
        let container = self.live.get_mut(&index).filter(|c| c.ending.is_none());
        let gone = || ChangeError::Conflict("the container has ended".into());
        container.map(|c| &mut c.record).ok_or_else(gone)
    }

    pub(super) fn remember(&self, index: u32) {
        if let Some(container) = self.live.get(&index)
            && let Err(e) = self.store.put(&container.record)
        {
            tracing::warn!("failed to keep record of {}: {e}", container.record.key.id);
        }
    }
}
