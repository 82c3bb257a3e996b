//! The set of tracers: which are known, loaded, attached, and for whom. Owned by the registry.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::ObjectFile;
use super::contract::Description;
use super::keep::{Keep, Kept};
use super::links::{Attach, Held};
use super::load::{Instance, Loaded, Source};
use super::reaper::Reaper;
use super::switch::Switch;
use super::view::TracerView;
use crate::directory::{Decoder, Directory};
use crate::scope::SharedMaps;
use crate::scope::abi::{BITS, Reader, Stats};
use crate::scope::mapped::Mapped;

#[derive(Debug)]
pub struct Engine {
    pub(super) tracers: BTreeMap<String, Tracer>,
    /// Files that hold no tracer one can use, and why.
    pub(super) refused: Vec<(PathBuf, String)>,
    pub(super) shared: Arc<SharedMaps>,
    pub(super) directory: Directory,
    pub(super) keep: Option<Keep>,
    /// Gives numbers that are never used twice while the ring lives.
    reader: Arc<Mapped<Reader>>,
    pub(super) params: HashMap<String, HashMap<String, u64>>,
    detach_after: Duration,
    reaper: Reaper,
    switch: Switch,
}

pub(super) struct Tracer {
    pub(super) file: ObjectFile,
    pub(super) description: Arc<Description>,
    pub(super) loaded: Option<Loaded>,
    /// Attached once for all.
    pub(super) global: Vec<Held>,
    /// Attached to a container's cgroup, by index.
    pub(super) own: HashMap<u32, Vec<Held>>,
    pub(super) users: BTreeSet<u32>,
    idle_since: Option<Instant>,
    pub(super) problem: Option<String>,
    /// When loading may be tried again: at once if there was no problem, never with a wrong configuration.
    retry: Retry,
}

#[derive(Debug, Clone, Copy)]
enum Retry {
    Now,
    At(Instant),
    Never,
}

/// Containers that start do not wait again and again for what has just failed.
const RETRY_AFTER: Duration = Duration::from_secs(60);

impl Tracer {
    fn must_wait(&self) -> bool {
        match self.retry {
            Retry::Now => false,
            Retry::At(when) => Instant::now() < when,
            Retry::Never => true,
        }
    }

    /// Known, not loaded; `problem` is one of its configuration.
    pub(super) fn new(file: ObjectFile, description: Description, problem: Option<String>) -> Self {
        Self {
            file,
            description: Arc::new(description),
            loaded: None,
            global: Vec::new(),
            own: HashMap::new(),
            users: BTreeSet::new(),
            idle_since: None,
            retry: if problem.is_some() { Retry::Never } else { Retry::Now },
            problem,
        }
    }
}

/// What is needed to read a tracer's counters.
#[derive(Debug, Clone)]
pub struct Meter {
    pub tracer: String,
    pub sources: Vec<Source>,
    pub stats: Arc<Mapped<Stats>>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("name", &self.description.name).field("users", &self.users).finish()
    }
}

impl Engine {
    pub fn new(
        shared: Arc<SharedMaps>,
        directory: Directory,
        keep: Option<Keep>,
        reader: Arc<Mapped<Reader>>,
        params: HashMap<String, HashMap<String, u64>>,
        detach_after: Duration,
    ) -> std::io::Result<Self> {
        let reaper = Reaper::new()?;
        let switch = Switch::new(shared.handle("remora_current").map_err(std::io::Error::other)?)?;
        let tracers = BTreeMap::new();
        let refused = Vec::new();
        Ok(Self { tracers, refused, shared, directory, keep, reader, params, detach_after, reaper, switch })
    }

    /// Tracers for a list of names and groups, and what of the list means nothing.
    pub fn resolve(&self, wanted: &[String]) -> (Vec<String>, Vec<String>) {
        let mut found = BTreeSet::new();
        let mut unknown = Vec::new();
        for word in wanted {
            let fits = |t: &&Tracer| {
                word == "all" || t.description.name == *word || t.description.groups.contains(word)
            };
            let names: Vec<_> =
                self.tracers.values().filter(fits).map(|t| t.description.name.clone()).collect();
            if names.is_empty() {
                unknown.push(word.clone());
            }
            found.extend(names);
        }
        (found.into_iter().collect(), unknown)
    }

    /// Loads the tracers of these names and groups, so that attaching them is quick.
    pub fn preload(&mut self, wanted: &[String]) {
        for name in self.resolve(wanted).0 {
            if let Err(e) = self.ensure_loaded(&name) {
                tracing::error!("{e}");
            }
        }
    }

    fn ensure_loaded(&mut self, name: &str) -> Result<(), String> {
        let Some(tracer) = self.tracers.get(name) else { return Err(format!("no tracer {name}")) };
        if tracer.loaded.is_some() {
            return Ok(());
        }
        if let Some(problem) = tracer.problem.as_ref().filter(|_| tracer.must_wait()) {
            return Err(problem.clone());
        }
        let file = tracer.file.clone();
        let (instance, kept) = self.instance(name, &file)?;
        let pins = self.keep.as_ref().map(|k| k.pins(name));
        let loaded = Loaded::load(&file, &self.shared, instance, pins.as_deref()).map_err(|e| e.to_string());
        if let (Err(_), false, Some(keep)) = (&loaded, kept, &self.keep) {
            keep.forget(name);
        }
        let tracer = self.tracers.get_mut(name).expect("looked up above");
        tracer.problem = loaded.as_ref().err().cloned();
        tracer.retry = if loaded.is_ok() { Retry::Now } else { Retry::At(Instant::now() + RETRY_AFTER) };
        let loaded = loaded?;
        let decoder = Decoder { events: loaded.events.clone(), stats: loaded.stats.clone() };
        self.directory.put_decoder(loaded.instance.number, decoder);
        self.switch.turn(loaded.instance.bit, loaded.instance.number);
        tracer.loaded = Some(loaded);
        Ok(())
    }

    /// The same instance again after a restart, a new one after an upgrade; whether it is the same.
    fn instance(&mut self, name: &str, file: &ObjectFile) -> Result<(Instance, bool), String> {
        let params = self.params.get(name).cloned().unwrap_or_default();
        let print = file.fingerprint();
        let kept = self.keep.as_ref().and_then(|k| k.read(name)).map(|(kept, _)| kept);
        if let Some(kept) = kept.as_ref().filter(|k| k.fingerprint == print && k.params == params) {
            return Ok((Instance { bit: kept.bit, number: kept.number, params }, true));
        }
        let taken = self.tracers.values().filter_map(|t| t.loaded.as_ref()).map(|l| l.instance.bit);
        let mut taken: Vec<u32> = taken.collect();
        if let Some(keep) = &self.keep {
            taken.extend(keep.bits());
        }
        let bit =
            (0..BITS).find(|b| !taken.contains(b)).ok_or(format!("{BITS} tracers are loaded already"))?;
        let number = self.reader[0].numbers.fetch_add(1, Ordering::Relaxed) as u32 + 1;
        if let Some(keep) = &self.keep {
            let kept =
                Kept { bit, number, fingerprint: print, params: params.clone(), boot: keep.boot.clone() };
            keep.replace(name, &kept, file).map_err(|e| format!("failed to keep tracer {name}: {e}"))?;
        }
        Ok((Instance { bit, number, params }, false))
    }

    /// Attaches a tracer for a container; returns its bit in the container's mask.
    pub fn acquire(&mut self, name: &str, index: u32, cgroup: &Path, root: u64) -> Result<u64, String> {
        self.ensure_loaded(name)?;
        match self.attach(name, index, cgroup, root) {
            // Before f3a95075549e ("bpf: Allow trampoline re-attach for tracing and lsm programs", v5.13) such a
            // program attaches once in its life: it is loaded anew.
            Err(_) if self.unload_unused(name) => {
                self.ensure_loaded(name)?;
                self.attach(name, index, cgroup, root)
            }
            result => result,
        }
    }

    /// Lets go of an object of which nothing is attached; whether it did.
    fn unload_unused(&mut self, name: &str) -> bool {
        let unused = |t: &&mut Tracer| t.global.is_empty() && t.own.is_empty();
        self.tracers.get_mut(name).filter(unused).is_some_and(|t| t.loaded.take().is_some())
    }

    fn attach(&mut self, name: &str, index: u32, cgroup: &Path, root: u64) -> Result<u64, String> {
        let pins = self.keep.as_ref().map(|k| k.pins(name));
        let tracer = self.tracers.get_mut(name).ok_or_else(|| format!("no tracer {name}"))?;
        let Tracer { loaded: Some(loaded), global, own, .. } = tracer else {
            return Err(format!("tracer {name} is not loaded"));
        };
        let pin = |link: String| pins.as_ref().map(|p: &PathBuf| p.join("links").join(link));
        let programs = |attach| loaded.chosen.iter().filter(move |(_, a)| *a == attach).map(|(n, _)| n);
        let mut new = Vec::new();
        if global.is_empty() {
            self.reaper.settle();
            for program in programs(Attach::Global) {
                new.push(Held::new(&loaded.object, program, None, pin(program.clone()).as_deref())?);
            }
        }
        let mut mine = Vec::new();
        for program in programs(Attach::Cgroup) {
            let pin = pin(format!("{program}@{root}"));
            mine.push(Held::new(&loaded.object, program, Some(cgroup), pin.as_deref())?);
        }
        global.append(&mut new);
        own.insert(index, mine);
        tracer.users.insert(index);
        tracer.idle_since = None;
        Ok(1 << loaded.instance.bit)
    }

    /// A container needs the tracer no more. What was attached for all stays for a while.
    pub fn release(&mut self, name: &str, index: u32, now: Instant) {
        let Some(tracer) = self.tracers.get_mut(name) else { return };
        if let Some(links) = tracer.own.remove(&index) {
            self.reaper.retire(links);
        }
        if tracer.users.remove(&index) && tracer.users.is_empty() {
            tracer.idle_since = Some(now);
        }
    }

    /// Detaches what nobody has used for a while; when to look again.
    pub fn tidy(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for tracer in self.tracers.values_mut() {
            let Some(since) = tracer.idle_since else { continue };
            if now.duration_since(since) >= self.detach_after {
                tracer.idle_since = None;
                self.reaper.retire(std::mem::take(&mut tracer.global));
            } else {
                let due = since + self.detach_after;
                next = Some(next.map_or(due, |n: Instant| n.min(due)));
            }
        }
        next
    }

    /// Whether anything is attached.
    pub fn is_attached(&self) -> bool {
        self.tracers.values().any(|t| !t.global.is_empty() || !t.own.is_empty())
    }

    /// Hands links to the thread that detaches.
    pub fn reap(&self, links: Vec<Held>) {
        self.reaper.retire(links);
    }

    /// Waits until links handed over before are gone.
    pub fn settle(&self) {
        self.reaper.settle();
    }

    /// Removes links that an earlier daemon pinned and nobody uses now.
    pub fn sweep(&self) {
        let Some(keep) = &self.keep else { return };
        for (name, tracer) in &self.tracers {
            let held = tracer.global.iter().chain(tracer.own.values().flatten());
            keep.sweep(name, &held.filter_map(Held::pin_name).collect());
        }
        keep.forget_unknown(&self.tracers.keys().map(String::as_str).collect());
    }

    pub fn views(&self) -> Vec<TracerView> {
        let failed = self.refused.iter().map(|(file, why)| TracerView::refused(file, why));
        self.tracers.values().map(Tracer::view).chain(failed).collect()
    }

    pub fn meters(&self) -> Vec<Meter> {
        let meter = |(name, t): (&String, &Tracer)| {
            let loaded = t.loaded.as_ref()?;
            let (sources, stats) = (loaded.metrics.clone(), loaded.stats.clone());
            Some(Meter { tracer: name.clone(), sources, stats })
        };
        self.tracers.iter().filter_map(meter).collect()
    }

    /// Leaves everything pinned for the daemon that comes next.
    pub fn leave(self) {
        for tracer in self.tracers.into_values() {
            tracer.global.into_iter().chain(tracer.own.into_values().flatten()).for_each(Held::leave);
        }
    }
}
