//! Changes while everything runs: another object in a tracer's place, stop and start, parameters.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;
use thiserror::Error;

use super::engine::{Engine, Tracer};
use super::links::Held;
use super::load::{Instance, Loaded};
use super::params::{self, Values};
use super::{ObjectFile, Opened, users};

#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("{0}")]
    Unknown(String),
    /// It cannot be as things stand.
    #[error("{0}")]
    Conflict(String),
    /// What was sent is wrong.
    #[error("{0}")]
    Refused(String),
    /// It should have worked.
    #[error("{0}")]
    Failed(String),
}

/// What became of an object that was sent.
#[derive(Debug, Serialize)]
pub struct Placed {
    pub tracer: String,
    /// Of the new object, as its records carry it; none if it is not in use yet.
    pub number: Option<u32>,
    pub replaced: bool,
    /// Maps whose content goes on.
    pub carried: Vec<String>,
    /// Maps that begin empty.
    pub fresh: Vec<String>,
    /// From the beginning of loading to the end of the old object's speaking.
    pub seconds: f64,
    /// Of these, the change from one to the other, all processors together.
    pub turn_seconds: f64,
}

impl Placed {
    fn quiet(tracer: &str, replaced: bool) -> Self {
        Self {
            tracer: tracer.to_owned(),
            number: None,
            replaced,
            carried: Vec::new(),
            fresh: Vec::new(),
            seconds: 0.0,
            turn_seconds: 0.0,
        }
    }
}

impl Engine {
    /// Makes an object known that has survived a trial, or puts it in the place of the one of its name without a gap. If it fails, all
    /// stays as it was.
    pub fn place(&mut self, expected: Option<&str>, file: ObjectFile) -> Result<Placed, ChangeError> {
        let refused = |e: super::open::TracerError| ChangeError::Refused(e.to_string());
        let description = Opened::open(&file).map_err(refused)?.read.description;
        let name = description.name.clone();
        if let Some(expected) = expected.filter(|e| *e != name) {
            return Err(ChangeError::Refused(format!(
                "the object says that it is tracer {name}, not {expected}"
            )));
        }
        self.admit(&file, &description).map_err(refused)?;
        let placed = match self.tracers.get(&name) {
            Some(_) => self.exchange(&name, file.clone())?,
            None => {
                self.tracers.insert(name.clone(), Tracer::new(file.clone(), description, None));
                if let Err(e) = self.ensure_loaded(&name) {
                    self.tracers.remove(&name);
                    self.keep.forget(&name);
                    return Err(ChangeError::Refused(e));
                }
                Placed::quiet(&name, false)
            }
        };
        let kept = self.settings.keep_object(&name, &file);
        kept.map_err(|e| {
            ChangeError::Failed(format!("{name} is in use, but not kept for the next start: {e}"))
        })?;
        Ok(placed)
    }

    /// Takes away an object that was loaded over the API: the one it stood over comes back, if there was one.
    /// Whether the tracer is gone.
    pub fn unplace(&mut self, name: &str) -> Result<bool, ChangeError> {
        let tracer =
            self.tracers.get_mut(name).ok_or_else(|| ChangeError::Unknown(format!("no tracer {name}")))?;
        if !self.settings.has_object(name) {
            let origin = &tracer.file.origin;
            return Err(ChangeError::Conflict(format!(
                "tracer {name} is {origin}: it can be stopped, not removed"
            )));
        }
        let failed = |e: std::io::Error| ChangeError::Failed(format!("failed to remove tracer {name}: {e}"));
        if let Some(base) = tracer.base.take() {
            let number = self.exchange(name, base.clone());
            let tracer = self.tracers.get_mut(name).expect("looked up above");
            match number {
                Ok(_) => tracer.base = None,
                Err(e) => {
                    tracer.base = Some(base);
                    return Err(e);
                }
            }
            self.settings.drop_object(name).map_err(failed)?;
            return Ok(false);
        }
        self.settings.drop_object(name).map_err(failed)?;
        self.settings.forget(name).map_err(failed)?;
        self.spent.remove(name);
        if let Some(mut tracer) = self.tracers.remove(name) {
            let own = std::mem::take(&mut tracer.users).into_values().flat_map(|u| u.links);
            let links = tracer.global.drain(..).chain(own).collect();
            self.reaper.retire(links);
            if let Some(loaded) = &tracer.loaded {
                self.fade(loaded.instance.number);
            }
        }
        self.keep.forget(name);
        Ok(true)
    }

    /// Another file for a known tracer. Where the tracer is loaded, the new object is attached beside the old
    /// one; then, processor by processor, the new one speaks; then the old one goes.
    pub(super) fn exchange(&mut self, name: &str, file: ObjectFile) -> Result<Placed, ChangeError> {
        let description =
            Opened::open(&file).map_err(|e| ChangeError::Refused(e.to_string()))?.read.description;
        let set = self.settings.params(name);
        let set = params::fit(&description.params, &set)
            .map_err(|e| ChangeError::Refused(format!("{}: as configured, {e}", file.origin)))?;
        let Some(old) = self.tracers[name].loaded.as_ref() else {
            let tracer = self.tracers.get_mut(name).expect("looked up above");
            let before = std::mem::replace(&mut tracer.file, file);
            tracer.base.get_or_insert(before);
            tracer.description = description.into();
            tracer.forgive();
            return Ok(Placed::quiet(name, true));
        };
        let (bit, before) = (old.instance.bit, old.instance.number);
        let number = self.number();
        let instance = Instance { bit, number, params: params::fixed(&description.params, &set) };
        let carry = old.carry();
        let start = Instant::now();
        let mut new = self.load(&file, instance, &carry).map_err(ChangeError::Refused)?;
        let attached = self.attach_beside(name, &new, &set);
        let attached = attached.and_then(|links| self.commit(name, &mut new, &file).map(|()| links));
        let (global, own) = attached.map_err(|e| {
            self.directory.drop_decoder(number);
            ChangeError::Refused(e)
        })?;
        let (carried, fresh): (Vec<_>, Vec<_>) =
            new.own_shapes().into_iter().partition(|(map, shape)| carry.get(map, Some(shape)).is_some());
        let turned = Instant::now();
        self.switch.turn(bit, number);
        let turn = turned.elapsed();
        self.keep_cost(name);
        self.succeed(name, file, new, (global, own));
        self.fade(before);
        let names = |maps: Vec<(String, String)>| maps.into_iter().map(|(name, _)| name).collect();
        let (carried, fresh) = (names(carried), names(fresh));
        let took = start.elapsed();
        tracing::info!(tracer = name, number, ?took, ?turn, "replaced");
        Ok(Placed {
            tracer: name.to_owned(),
            number: Some(number),
            replaced: true,
            carried,
            fresh,
            seconds: took.as_secs_f64(),
            turn_seconds: turn.as_secs_f64(),
        })
    }

    /// The new object is all there: it takes the old one's place, and the old one's links go.
    fn succeed(&mut self, name: &str, file: ObjectFile, new: Loaded, links: Links) {
        let (global, mut own) = links;
        let tracer = self.tracers.get_mut(name).expect("replaced just now");
        let before = std::mem::replace(&mut tracer.file, file);
        tracer.base.get_or_insert(before);
        tracer.description = new.description.clone();
        tracer.loaded = Some(new);
        tracer.forgive();
        let mut gone = std::mem::replace(&mut tracer.global, global);
        for (index, user) in &mut tracer.users {
            gone.append(&mut std::mem::replace(&mut user.links, own.remove(index).unwrap_or_default()));
        }
        self.reaper.retire(gone);
    }

    /// Attaches a new object wherever the tracer's old one is.
    fn attach_beside(&self, name: &str, new: &Loaded, set: &Values) -> Result<Links, String> {
        let (tracer, links) = (&self.tracers[name], self.keep.links(name));
        let mut own = BTreeMap::new();
        for (index, user) in &tracer.users {
            new.set_params(*index, &[set, &user.params])?;
            own.insert(*index, users::own(new, &user.place, &links)?);
        }
        let global = if tracer.global.is_empty() { Vec::new() } else { users::global(new, &links)? };
        Ok((global, own))
    }

    /// From here on nobody gets the tracer, and who has it must let go. Holds over restarts.
    pub fn stop(&mut self, name: &str, why: &str) -> Result<(), ChangeError> {
        self.known(name)?;
        self.settings.stop(name, why).map_err(|e| not_kept(name, &e))
    }

    pub fn start(&mut self, name: &str) -> Result<(), ChangeError> {
        self.known(name)?;
        self.settings.start(name).map_err(|e| not_kept(name, &e))?;
        let tracer = self.tracers.get_mut(name).expect("known");
        tracer.forgive();
        self.ensure_loaded(name).map_err(ChangeError::Failed)
    }

    pub fn is_stopped(&self, name: &str) -> bool {
        self.settings.stopped(name).is_some()
    }

    /// Sets parameters for all containers; the fixed ones by loading the same object anew.
    pub fn set_params(&mut self, name: &str, values: Values) -> Result<(), ChangeError> {
        self.known(name)?;
        let tracer = &self.tracers[name];
        let values = params::fit(&tracer.description.params, &values)
            .map_err(|e| ChangeError::Refused(format!("tracer {name}: {e}")))?;
        let anew = !params::fixed(&tracer.description.params, &values).is_empty();
        let before = self.settings.changed_params(name);
        let mut now = before.clone();
        now.extend(values);
        let (file, base) = (tracer.file.clone(), tracer.base.clone());
        self.settings.change_params(name, now).map_err(|e| not_kept(name, &e))?;
        let done = if anew {
            let done = self.exchange(name, file).map(drop);
            self.tracers.get_mut(name).expect("known").base = base;
            done
        } else {
            self.tell_users(name).map_err(ChangeError::Failed)
        };
        if done.is_err() {
            self.settings.change_params(name, before).map_err(|e| not_kept(name, &e))?;
        }
        done
    }

    fn tell_users(&self, name: &str) -> Result<(), String> {
        let (tracer, set) = (&self.tracers[name], self.settings.params(name));
        let Some(loaded) = &tracer.loaded else { return Ok(()) };
        tracer.users.iter().try_for_each(|(index, user)| loaded.set_params(*index, &[&set, &user.params]))
    }

    /// Sets parameters of one container that has the tracer; all that it has set now.
    pub fn set_own_params(&mut self, name: &str, index: u32, values: Values) -> Result<Values, ChangeError> {
        self.known(name)?;
        let set = self.settings.params(name);
        let values = self.fit_own(name, &values)?;
        let tracer = self.tracers.get_mut(name).expect("known");
        let (Some(loaded), Some(user)) = (&tracer.loaded, tracer.users.get_mut(&index)) else {
            return Err(ChangeError::Conflict(format!("the container does not have tracer {name}")));
        };
        let mut all = user.params.clone();
        all.extend(values);
        loaded.set_params(index, &[&set, &all]).map_err(ChangeError::Failed)?;
        user.params = all.clone();
        Ok(all)
    }

    /// What a container may have for itself of these.
    pub fn fit_own(&self, name: &str, values: &Values) -> Result<Values, ChangeError> {
        self.known(name)?;
        let known = &self.tracers[name].description.params;
        let refused = |e: String| ChangeError::Refused(format!("tracer {name}: {e}"));
        let values = params::fit(known, values).map_err(refused)?;
        match params::fixed(known, &values).keys().next() {
            Some(param) => Err(refused(format!("parameter {param} cannot be set for one container"))),
            None => Ok(values),
        }
    }

    /// Parameters set for all containers.
    pub fn params(&self, name: &str) -> Values {
        self.settings.params(name)
    }

    pub(super) fn known(&self, name: &str) -> Result<(), ChangeError> {
        if self.tracers.contains_key(name) {
            Ok(())
        } else {
            Err(ChangeError::Unknown(format!("no tracer {name}")))
        }
    }
}

/// What is attached once, and by container.
type Links = (Vec<Held>, BTreeMap<u32, Vec<Held>>);

fn not_kept(name: &str, e: &std::io::Error) -> ChangeError {
    ChangeError::Failed(format!("failed to keep the change of tracer {name}: {e}"))
}
