//! The set of tracers: which are known, loaded, and with what. Owned by the registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::ObjectFile;
use super::budget::Watch;
use super::carry::Carry;
use super::contract::Description;
use super::cost::{Costs, Counting};
use super::files::FileMetric;
use super::keep::{Keep, Kept};
use super::kernel;
use super::links::Held;
use super::load::{Instance, Loaded, Source, Table};
use super::params;
use super::reaper::Reaper;
use super::refresh::Refreshes;
use super::settings::Settings;
use super::switch::Switch;
use super::users::User;
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
    pub(super) keep: Keep,
    pub(super) settings: Settings,
    /// Gives numbers that are never used twice while the ring lives.
    reader: Arc<Mapped<Reader>>,
    pub(super) detach_after: Duration,
    pub(super) reaper: Reaper,
    pub(super) switch: Switch,
    /// While containers of an earlier daemon are taken up, that daemon's objects speak: until all is attached.
    settled: bool,
    /// Objects that are gone, whose records may still be in the ring.
    pub(super) fading: Vec<(Instant, u32)>,
    pub(super) counting: Counting,
    /// What programs that are gone have cost.
    pub(super) spent: BTreeMap<String, Costs>,
    pub(super) watch: Watch,
}

pub(super) struct Tracer {
    pub(super) file: ObjectFile,
    /// What it came from before another object was loaded over it.
    pub(super) base: Option<ObjectFile>,
    pub(super) description: Arc<Description>,
    pub(super) loaded: Option<Loaded>,
    /// Attached once for all.
    pub(super) global: Vec<Held>,
    /// By index.
    pub(super) users: BTreeMap<u32, User>,
    pub(super) idle_since: Option<Instant>,
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
            base: None,
            description: Arc::new(description),
            loaded: None,
            global: Vec::new(),
            users: BTreeMap::new(),
            idle_since: None,
            retry: if problem.is_some() { Retry::Never } else { Retry::Now },
            problem,
        }
    }

    /// Another file, or another configuration, is another try.
    pub(super) fn forgive(&mut self) {
        self.problem = None;
        self.retry = Retry::Now;
    }

    /// All links, its users' own included.
    pub(super) fn links(&self) -> impl Iterator<Item = &Held> {
        self.global.iter().chain(self.users.values().flat_map(|u| &u.links))
    }
}

/// What is needed to read a tracer's counters.
#[derive(Debug, Clone)]
pub struct Meter {
    pub tracer: String,
    pub sources: Vec<Source>,
    pub files: Arc<Vec<FileMetric>>,
    pub tables: Vec<Table>,
    /// To be run before these are read.
    pub refreshes: Arc<Refreshes>,
    pub stats: Arc<Mapped<Stats>>,
}

impl Meter {
    /// Has its maps brought up to date, which reading them does not do.
    pub fn refresh(&self) {
        self.refreshes.run();
    }
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
        keep: Keep,
        reader: Arc<Mapped<Reader>>,
        settings: Settings,
        detach_after: Duration,
    ) -> std::io::Result<Self> {
        Ok(Self {
            tracers: BTreeMap::new(),
            refused: Vec::new(),
            switch: Switch::new(shared.handle("remora_current").map_err(std::io::Error::other)?)?,
            reaper: Reaper::new()?,
            settled: false,
            fading: Vec::new(),
            counting: Counting::default(),
            spent: BTreeMap::new(),
            watch: Watch::default(),
            shared,
            directory,
            keep,
            settings,
            reader,
            detach_after,
        })
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

    pub fn description(&self, name: &str) -> Option<&Arc<Description>> {
        self.tracers.get(name).map(|t| &t.description)
    }

    /// Loads the tracers of these names and groups, so that attaching them is quick.
    pub fn preload(&mut self, wanted: &[String]) {
        let _hold = kernel::hold();
        for name in self.resolve(wanted).0 {
            if let Err(e) = self.ensure_loaded(&name) {
                tracing::error!("{e}");
            }
        }
    }

    pub(super) fn ensure_loaded(&mut self, name: &str) -> Result<(), String> {
        let Some(tracer) = self.tracers.get(name) else { return Err(format!("no tracer {name}")) };
        if tracer.loaded.is_some() {
            return Ok(());
        }
        if let Some(problem) = tracer.problem.as_ref().filter(|_| tracer.must_wait()) {
            return Err(problem.clone());
        }
        let file = tracer.file.clone();
        let loaded = self.load_kept(name, &file);
        let tracer = self.tracers.get_mut(name).expect("looked up above");
        tracer.problem = loaded.as_ref().err().cloned();
        tracer.retry = if loaded.is_ok() { Retry::Now } else { Retry::At(Instant::now() + RETRY_AFTER) };
        let loaded = loaded?;
        let Instance { bit, number, .. } = loaded.instance;
        tracer.loaded = Some(loaded);
        if self.settled {
            self.switch.turn(bit, number);
        }
        Ok(())
    }

    /// The same instance again after a restart, a new one after an upgrade.
    fn load_kept(&mut self, name: &str, file: &ObjectFile) -> Result<Loaded, String> {
        let set = self.settings.params(name);
        let params = params::fixed(&self.tracers[name].description.params, &set);
        let kept = self.keep.read(name).map(|(kept, _)| kept);
        let carry = kept.as_ref().map(|k| self.keep.carry(name, k)).unwrap_or_default();
        let print = file.fingerprint();
        let same = kept.as_ref().filter(|k| k.fingerprint == print && k.params == params);
        let instance = match (same, &kept) {
            (Some(k), _) => Instance { bit: k.bit, number: k.number, params },
            (None, Some(k)) => Instance { bit: k.bit, number: self.number(), params },
            (None, None) => Instance { bit: self.free_bit()?, number: self.number(), params },
        };
        let mut loaded = self.load(file, instance, &carry)?;
        self.commit(name, &mut loaded, file)?;
        Ok(loaded)
    }

    /// Loads an object under a number, and makes its records understood.
    pub(super) fn load(
        &self,
        file: &ObjectFile,
        instance: Instance,
        carry: &Carry,
    ) -> Result<Loaded, String> {
        let loaded = Loaded::load(file, &self.shared, instance, carry).map_err(|e| e.to_string())?;
        let decoder = Decoder { events: loaded.events.clone(), stats: loaded.stats.clone() };
        self.directory.put_decoder(loaded.instance.number, decoder);
        Ok(loaded)
    }

    /// From here on, and for the daemon that comes next, this is the tracer's object.
    pub(super) fn commit(&self, name: &str, loaded: &mut Loaded, file: &ObjectFile) -> Result<(), String> {
        let Instance { bit, number, params } = loaded.instance.clone();
        let (fingerprint, maps) = (file.fingerprint(), loaded.own_shapes());
        let kept = Kept { bit, number, fingerprint, params, maps, boot: self.keep.boot.clone() };
        let done = self
            .keep
            .prepare(name)
            .map_err(|e| e.to_string())
            .and_then(|()| loaded.pin(&self.keep.pins(name)).map_err(|e| e.to_string()))
            .and_then(|()| self.keep.commit(name, &kept, file).map_err(|e| e.to_string()));
        done.map_err(|e| format!("failed to keep tracer {name}: {e}"))
    }

    pub(super) fn number(&self) -> u32 {
        self.reader[0].numbers.fetch_add(1, Ordering::Relaxed) as u32 + 1
    }

    pub(super) fn free_bit(&self) -> Result<u32, String> {
        let taken = self.tracers.values().filter_map(|t| t.loaded.as_ref()).map(|l| l.instance.bit);
        let taken: BTreeSet<u32> = taken.chain(self.keep.bits()).collect();
        (0..BITS).find(|b| !taken.contains(b)).ok_or(format!("{BITS} tracers are loaded already"))
    }

    /// All that an earlier daemon left is taken up: its objects fall silent, and what nobody holds goes.
    pub fn settle_in(&mut self) {
        self.settled = true;
        for (name, tracer) in &self.tracers {
            let loaded = tracer.loaded.as_ref();
            if let Some(Instance { bit, number, .. }) = loaded.map(|l| &l.instance) {
                self.switch.turn(*bit, *number);
            }
            let held = tracer.links().flat_map(Held::pin_names).collect();
            self.keep.sweep(name, &held, loaded.map(Loaded::own_shapes).as_ref());
        }
        self.keep.forget_unknown(&self.tracers.keys().map(String::as_str).collect());
    }

    /// Whether anything is attached.
    pub fn is_attached(&self) -> bool {
        self.tracers.values().any(|t| t.links().next().is_some())
    }

    /// Hands links to the thread that detaches.
    pub fn reap(&self, links: Vec<Held>) {
        self.reaper.retire(links);
    }

    /// Waits until links handed over before are gone.
    pub fn settle(&self) {
        self.reaper.settle();
    }

    pub fn views(&self) -> Vec<TracerView> {
        let view = |(name, t): (&String, &Tracer)| t.view(&self.settings, name, self.cost(name, t));
        let failed = self.refused.iter().map(|(file, why)| TracerView::refused(file, why));
        self.tracers.iter().map(view).chain(failed).collect()
    }

    pub fn meters(&self) -> Vec<Meter> {
        let meter = |(name, t): (&String, &Tracer)| {
            let loaded = t.loaded.as_ref()?;
            let (sources, tables) = (loaded.metrics.clone(), loaded.tables.clone());
            let (refreshes, stats) = (loaded.refreshes.clone(), loaded.stats.clone());
            let files = loaded.files.clone();
            Some(Meter { tracer: name.clone(), sources, files, tables, refreshes, stats })
        };
        self.tracers.iter().filter_map(meter).collect()
    }

    /// Leaves everything pinned for the daemon that comes next.
    pub fn leave(self) {
        for tracer in self.tracers.into_values() {
            let own = tracer.users.into_values().flat_map(|u| u.links);
            tracer.global.into_iter().chain(own).for_each(Held::leave);
        }
    }
}
