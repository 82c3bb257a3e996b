//! Who uses a tracer: attached with the first container, detached a while after the last.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::engine::Engine;
use super::links::{Attach, Held};
use super::load::Loaded;
use super::params::Values;

/// Where a container is: in the maps, and among the cgroups.
#[derive(Debug, Clone)]
pub struct Place {
    pub index: u32,
    pub root: u64,
    pub cgroup: PathBuf,
}

#[derive(Debug)]
pub struct User {
    pub place: Place,
    pub params: Values,
    /// Attached to its cgroup.
    pub links: Vec<Held>,
}

/// How long records of an object that is gone may still be in the ring.
const FADE: Duration = Duration::from_secs(10);

impl Engine {
    /// Attaches a tracer for a container, with parameters of its own; its bit in the container's mask.
    pub fn acquire(&mut self, name: &str, place: &Place, params: &Values) -> Result<u64, String> {
        if let Some(why) = self.settings.stopped(name) {
            return Err(format!("tracer {name} is stopped: {why}"));
        }
        self.ensure_loaded(name)?;
        match self.attach(name, place, params) {
            // Before f3a95075549e ("bpf: Allow trampoline re-attach for tracing and lsm programs", v5.13) such a
            // program attaches once in its life: it is loaded anew.
            Err(_) if self.unload_unused(name) => {
                self.ensure_loaded(name)?;
                self.attach(name, place, params)
            }
            result => result,
        }
    }

    /// Lets go of an object of which nothing is attached; whether it did.
    fn unload_unused(&mut self, name: &str) -> bool {
        let tracer = self.tracers.get(name).filter(|t| t.links().next().is_none());
        if tracer.is_none_or(|t| t.loaded.is_none()) {
            return false;
        }
        self.keep_cost(name);
        self.tracers.get_mut(name).is_some_and(|t| t.loaded.take().is_some())
    }

    fn attach(&mut self, name: &str, place: &Place, params: &Values) -> Result<u64, String> {
        let (links, common) = (self.keep.links(name), self.settings.params(name));
        let tracer = self.tracers.get_mut(name).ok_or_else(|| format!("no tracer {name}"))?;
        let loaded = tracer.loaded.as_ref().ok_or_else(|| format!("tracer {name} is not loaded"))?;
        loaded.set_params(place.index, &[&common, params])?;
        loaded.set_budget(place.index, self.settings.budget(name));
        let mut new = Vec::new();
        if tracer.global.is_empty() {
            self.reaper.settle();
            new = global(loaded, &links)?;
        }
        let mine = own(loaded, place, &links)?;
        tracer.global.append(&mut new);
        let user = User { place: place.clone(), params: params.clone(), links: mine };
        tracer.users.insert(place.index, user);
        tracer.idle_since = None;
        Ok(1 << loaded.instance.bit)
    }

    /// A container needs the tracer no more. What was attached for all stays for a while.
    pub fn release(&mut self, name: &str, index: u32, now: Instant) {
        let Some(tracer) = self.tracers.get_mut(name) else { return };
        let Some(user) = tracer.users.remove(&index) else { return };
        self.reaper.retire(user.links);
        if tracer.users.is_empty() {
            tracer.idle_since = Some(now);
        }
    }

    /// Its bit in a container's mask, if the container has it now.
    pub fn bit(&self, name: &str, index: u32) -> u64 {
        let tracer = self.tracers.get(name).filter(|t| t.users.contains_key(&index));
        tracer.and_then(|t| t.loaded.as_ref()).map_or(0, |l| 1 << l.instance.bit)
    }

    /// Detaches at once what nobody uses.
    pub fn detach(&mut self, name: &str) {
        let Some(tracer) = self.tracers.get_mut(name).filter(|t| t.users.is_empty()) else { return };
        tracer.idle_since = None;
        self.reaper.retire(std::mem::take(&mut tracer.global));
    }

    /// Detaches what nobody has used for a while; when to look again.
    pub fn tidy(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut look_at = |when: Instant| next = Some(next.map_or(when, |n| n.min(when)));
        for tracer in self.tracers.values_mut() {
            let Some(since) = tracer.idle_since else { continue };
            if now.duration_since(since) >= self.detach_after {
                tracer.idle_since = None;
                self.reaper.retire(std::mem::take(&mut tracer.global));
            } else {
                look_at(since + self.detach_after);
            }
        }
        if let Some(until) = self.counting.tidy(now) {
            look_at(until);
        }
        let directory = &self.directory;
        self.fading.retain(|(until, number)| {
            let keep = *until > now;
            if keep {
                look_at(*until)
            } else {
                directory.drop_decoder(*number)
            }
            keep
        });
        next
    }

    /// Records of this object are understood for a while yet.
    pub(super) fn fade(&mut self, number: u32) {
        self.fading.push((Instant::now() + FADE, number));
    }
}

/// Attaches what is attached once for all. Pins carry the object's number: those of the object before are others.
pub(super) fn global(loaded: &Loaded, links: &Path) -> Result<Vec<Held>, String> {
    let pin = |program: &str| links.join(format!("{program}-{}", loaded.instance.number));
    let one = |program: &String| Held::new(&loaded.object, program, None, Some(&pin(program)));
    programs(loaded, Attach::Global).map(one).collect()
}

/// Attaches what is attached to a container's own cgroup.
pub(super) fn own(loaded: &Loaded, place: &Place, links: &Path) -> Result<Vec<Held>, String> {
    let pin = |program: &str| links.join(format!("{program}@{}-{}", place.root, loaded.instance.number));
    let one = |program: &String| Held::new(&loaded.object, program, Some(&place.cgroup), Some(&pin(program)));
    programs(loaded, Attach::Cgroup).map(one).collect()
}

fn programs(loaded: &Loaded, attach: Attach) -> impl Iterator<Item = &String> {
    loaded.chosen.iter().filter(move |(_, a)| *a == attach).map(|(name, _)| name)
}
