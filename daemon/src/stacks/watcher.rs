//! The thread that gives names to addresses: once a second, and before anybody is answered.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::child::Request;
use super::profile::{self, Profile};
use super::source::{Found, Source};
use super::store::{Program, Sample, Store};
use super::symbolizer::Symbolizer;
use super::{LOST, Message, Stack, Stacks, UNKNOWN, keep};
use crate::decode::value::unsigned;
use crate::metrics::map;
use crate::metrics::tables::{self, Rows};
use crate::scope::abi::Container;
use crate::scope::mapped::Mapped;
use crate::tracer::load::Table;

const OFTEN: Duration = Duration::from_secs(1);
/// Addresses in one question to the child.
const CHUNK: usize = 512;
/// Addresses of the kernel whose names are remembered.
const KERNEL_MAX: usize = 1 << 16;
/// How long the stacks of a container are kept that is gone without a word.
const FORGET: Duration = Duration::from_secs(60);

pub struct Watcher {
    places: Arc<Mapped<Container>>,
    sources: Vec<Source>,
    /// By the container's cgroup.
    stores: HashMap<u64, Store>,
    kernel: HashMap<u64, Arc<str>>,
    symbolizer: Symbolizer,
    /// Where what is known is left, and which boot it is of.
    file: PathBuf,
    boot: String,
}

impl Watcher {
    pub fn new(places: Arc<Mapped<Container>>, file: PathBuf, boot: String) -> Self {
        Self {
            places,
            sources: Vec::new(),
            stores: keep::load(&file, &boot).into_iter().collect(),
            kernel: HashMap::new(),
            symbolizer: Symbolizer::default(),
            file,
            boot,
        }
    }

    pub fn run(mut self, messages: &Receiver<Message>) {
        let mut due = Instant::now() + OFTEN;
        loop {
            let waiting = self.stores.values().any(|s| s.until.is_some());
            let message = if !self.sources.is_empty() || self.symbolizer.tidy() || waiting {
                messages.recv_timeout(due.saturating_duration_since(Instant::now()))
            } else {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match message {
                Ok(message) => self.obey(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= due {
                self.tick(Instant::now());
                due = Instant::now() + OFTEN;
            }
        }
    }

    fn obey(&mut self, message: Message) {
        match message {
            Message::Watch(tables) => self.sources = tables.into_iter().map(Source::new).collect(),
            Message::Ended { root, left, until } => self.ended(root, left, until),
            Message::Leave(done) => {
                // What came in the last second has names, too.
                self.tick(Instant::now());
                let stores = self.stores.iter().map(|(root, store)| (*root, store));
                if let Err(e) = keep::save(&self.file, &self.boot, stores) {
                    tracing::warn!("failed to leave stacks in {}: {e}", self.file.display());
                }
                let _ = done.send(());
            }
            Message::Profile { table, root, index, reply } => {
                drop(reply.send(self.profile(&table, root, index)));
            }
            Message::Rows { table, root, rows, reply } => {
                let source = Source::new(table);
                self.learn_rows(&source, root, &rows);
                let all = rows.records.iter().map(|record| self.stacks(&source, root, record));
                drop(reply.send(all.collect()));
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let live: HashSet<u64> = self.places.iter().map(|p| p.root.load(Relaxed)).collect();
        for (root, store) in &mut self.stores {
            if !live.contains(root) {
                store.until.get_or_insert(now + FORGET);
            }
        }
        self.stores.retain(|_, store| store.until.is_none_or(|t| t > now));
        for i in 0..self.sources.len() {
            let source = self.sources[i].clone();
            self.sources[i].stale = false;
            self.look_at(&source);
        }
        self.symbolizer.tidy();
    }

    /// Gives names to what is new in a table, and makes room in it.
    fn look_at(&mut self, source: &Source) {
        let keys = map::keys(&source.table.map);
        let mut by_root: HashMap<u64, Vec<&[u8]>> = HashMap::new();
        for key in &keys {
            if let Some(root) = self.root_of(source, key) {
                by_root.entry(root).or_default().push(key);
            }
        }
        for (root, keys) in by_root {
            self.learn(source, root, &keys);
            keys.into_iter().for_each(|key| drop(self.stacks(source, root, key)));
        }
        let full = source.is_full(&keys);
        if full {
            for key in &keys {
                self.take(source, key);
            }
        }
        if full || source.stale {
            source.prune(&self.sources);
        }
    }

    fn root_of(&self, source: &Source, key: &[u8]) -> Option<u64> {
        let index = map::place(key, source.table.plan.index_at)?;
        Some(self.places.get(index as usize)?.root.load(Relaxed)).filter(|root| *root != 0)
    }

    /// Takes a row out of the kernel's map. Those of a container that is ending are the registry's to take.
    fn take(&mut self, source: &Source, key: &[u8]) {
        let Some(root) = self.root_of(source, key) else { return };
        let Some(value) = map::take(&source.table.map, key) else { return };
        let record = [key, &source.table.plan.merge(&value)].concat();
        self.keep(source, root, &record);
    }

    fn keep(&mut self, source: &Source, root: u64, record: &[u8]) {
        let (sample, weight) = self.sample(source, root, record);
        let store = self.stores.entry(root).or_default();
        store.rows.remove(&(source.id, record[..source.table.plan.key_size].to_vec()));
        store.keep(&source.table.plan.name, &source.plan().weight.unit, sample, weight);
    }

    fn ended(&mut self, root: u64, left: Vec<(Table, Rows)>, until: Instant) {
        for (table, rows) in left {
            let source = Source::new(table);
            self.learn_rows(&source, root, &rows);
            rows.records.iter().for_each(|record| self.keep(&source, root, record));
            let mine = self.sources.iter_mut().filter(|s| s.id == source.id);
            mine.for_each(|s| s.stale = true);
        }
        self.stores.entry(root).or_default().until = Some(until);
    }

    fn profile(&mut self, table: &str, root: u64, index: Option<u32>) -> Option<Profile> {
        let mut all = self.stores.get(&root).and_then(|s| s.kept(table)).cloned();
        let source = self.sources.iter().find(|s| s.table.plan.name == table).cloned();
        if let Some((source, index)) = source.zip(index) {
            let all = all.get_or_insert_default();
            all.unit.clone_from(&source.plan().weight.unit);
            let rows = tables::rows(&source.table, index, usize::MAX);
            self.learn_rows(&source, root, &rows);
            for record in &rows.records {
                let (sample, weight) = self.sample(&source, root, record);
                let sum = all.samples.entry(sample).or_default();
                *sum = sum.saturating_add(weight);
            }
        }
        let problem = self.stores.get(&root).and_then(|s| s.problem.clone());
        all.map(|all| Profile::new(table, all, problem))
    }

    fn sample(&mut self, source: &Source, root: u64, record: &[u8]) -> (Sample, u64) {
        let stacks = self.stacks(source, root, record);
        let plan = source.plan();
        let comm = plan.comm.clone().map(|at| profile::text(&record[at])).unwrap_or_default();
        let store = self.stores.entry(root).or_default();
        let sample = Sample { comm: store.intern(&comm), stacks };
        let weight = unsigned(&record[plan.weight.at.clone()]);
        (sample, plan.weight.nanoseconds.map_or(weight, |ns| weight.saturating_mul(ns) / 1000))
    }

    /// The stacks of a row, whose key a record begins with, in names that are known; remembered if it has them all.
    fn stacks(&mut self, source: &Source, root: u64, record: &[u8]) -> Stacks {
        let key = &record[..source.table.plan.key_size];
        let place = (source.id, key.to_vec());
        let store = self.stores.entry(root).or_default();
        if let Some(known) = store.rows.get(&place) {
            return known.clone();
        }
        let (user, kernel) = (source.user(key), source.kernel(key));
        let whole = !matches!(user, Found::Missing) && !matches!(kernel, Found::Missing);
        let program = source.program(key).unwrap_or_default();
        let lost: Stack = [store.intern(LOST)].into();
        let stacks = Stacks {
            user: user.named(&lost, |a| store.stack(program, &a)),
            kernel: kernel.named(&lost, |a| {
                let name = |a: &u64| self.kernel.get(a).map_or(UNKNOWN, |n| n);
                a.iter().rev().map(|a| store.intern(name(a))).collect()
            }),
        };
        if whole {
            store.rows.insert(place, stacks.clone());
        }
        stacks
    }

    fn learn_rows(&mut self, source: &Source, root: u64, rows: &Rows) {
        let size = source.table.plan.key_size;
        self.learn(source, root, &rows.records.iter().map(|r| &r[..size]).collect::<Vec<_>>());
    }

    /// Asks for what names are not known yet.
    fn learn(&mut self, source: &Source, root: u64, keys: &[&[u8]]) {
        let mut programs: HashMap<Program, BTreeSet<u64>> = HashMap::new();
        let mut kernel = BTreeSet::new();
        let store = self.stores.entry(root).or_default();
        for key in keys.iter().filter(|key| !store.rows.contains_key(&(source.id, key.to_vec()))) {
            if let (Found::Addresses(all), Some(program)) = (source.user(key), source.program(key)) {
                let new = all.into_iter().filter(|a| !store.is_known(program, *a));
                programs.entry(program).or_default().extend(new);
            }
            if let Found::Addresses(all) = source.kernel(key) {
                kernel.extend(all.into_iter().filter(|a| !self.kernel.contains_key(a)));
            }
        }
        for (program, addresses) in programs {
            self.learn_user(root, program, addresses.into_iter().collect());
        }
        self.learn_kernel(kernel.into_iter().collect());
    }

    fn learn_user(&mut self, root: u64, program: Program, addresses: Vec<u64>) {
        let store = self.stores.entry(root).or_default();
        let (pid, image) = program;
        for addresses in addresses.chunks(CHUNK) {
            if !store.is_trusted() {
                return;
            }
            let request = Request::User { pid, image, addresses: addresses.to_vec() };
            match self.symbolizer.names(&request) {
                Ok(names) => addresses.iter().zip(names).for_each(|(a, n)| store.learn(program, *a, &n)),
                Err(e) => {
                    tracing::warn!(pid, "failed to look into a container's program: {e}");
                    store.strike(&e.to_string());
                    addresses.iter().for_each(|a| store.learn(program, *a, UNKNOWN));
                }
            }
        }
    }

    fn learn_kernel(&mut self, addresses: Vec<u64>) {
        if self.kernel.len() > KERNEL_MAX {
            self.kernel.clear();
        }
        for addresses in addresses.chunks(CHUNK) {
            let answer = self.symbolizer.names(&Request::Kernel { addresses: addresses.to_vec() });
            let names = answer.unwrap_or_else(|e| {
                tracing::warn!("failed to read the kernel's symbols: {e}");
                vec![UNKNOWN.to_owned(); addresses.len()]
            });
            self.kernel.extend(addresses.iter().copied().zip(names.iter().map(|n| n.as_str().into())));
        }
    }
}
