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

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use super::child::Request;
use super::profile::{self, Profile};
use super::store::{Program, Sample, Store};
use super::symbolizer::Symbolizer;
use super::{LOST, Message, Stack, Stacks, UNKNOWN, keep};
use crate::decode::value::unsigned;
use crate::metrics::map;
use crate::metrics::tables::{self, Rows};
use crate::scope::abi::Container;
use crate::scope::map_id;
use crate::scope::mapped::Mapped;
use crate::tracer::load::Table;
use crate::tracer::stack::StackPlan;

const OFTEN: Duration = Duration::from_secs(1);
/// Addresses in one question to the child.
const CHUNK: usize = 512;
/// Addresses of the kernel whose names are remembered.
const KERNEL_MAX: usize = 1 << 16;
/// How long the stacks of a container are kept that is gone without a word.
const FORGET: Duration = Duration::from_secs(60);
/// A program on another processor is done with a stack that it has just put down.
const PASS: Duration = Duration::from_millis(5);

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

#[derive(Clone)]
struct Source {
    table: Table,
    /// The kernel's number of the table's map, which may be handed on from object to object.
    id: u32,
    /// Its stacks may be of rows that are gone.
    stale: bool,
}

impl Source {
    fn new(table: Table) -> Self {
        use std::os::fd::AsFd;
        let id = map_id(table.map.as_fd()).unwrap_or_default();
        Self { table, id, stale: true }
    }

    fn plan(&self) -> &StackPlan {
        self.table.plan.stacks.as_ref().expect("only tables with stacks are watched")
    }

    fn addresses(&self, id: i32) -> Option<Vec<u64>> {
        let bytes = self.table.stacks.as_ref()?.lookup(&id.to_ne_bytes(), MapFlags::ANY).ok()??;
        let all = bytes.chunks_exact(8).map(unsigned).take_while(|a| *a != 0);
        // But for the innermost, what is noted is where a call returns to: that may be the next function.
        Some(all.enumerate().map(|(i, a)| a - u64::from(i > 0)).collect())
    }

    fn program(&self, key: &[u8]) -> Option<Program> {
        let user = self.plan().user?;
        let pid = unsigned(&key[user.pid_at..user.pid_at + 4]) as u32;
        Some((pid, unsigned(&key[user.image_at..user.image_at + 8])))
    }

    fn user(&self, key: &[u8]) -> Found {
        self.plan().user.map_or(Found::None, |u| self.found(id_at(key, u.stack_at)))
    }

    fn kernel(&self, key: &[u8]) -> Found {
        self.plan().kernel_at.map_or(Found::None, |at| self.found(id_at(key, at)))
    }

    fn found(&self, id: i32) -> Found {
        match id {
            0.. => self.addresses(id).map_or(Found::Missing, Found::Addresses),
            id if id == -libc::EFAULT => Found::None,
            _ => Found::Lost,
        }
    }

    fn is_full(&self, keys: usize, stacks: usize) -> bool {
        let places = self.table.stacks.as_ref().map_or(0, |m| m.max_entries() as usize);
        // A stack's place is its hash: the more there are, the more find theirs taken.
        keys > self.table.map.max_entries() as usize / 2 || stacks > places / 16
    }
}

/// What a stack's id leads to.
enum Found {
    /// There was no such stack.
    None,
    /// The map had no room.
    Lost,
    /// Not there yet, or not any more.
    Missing,
    Addresses(Vec<u64>),
}

impl Found {
    fn named(self, lost: &Stack, name: impl FnOnce(Vec<u64>) -> Stack) -> Option<Stack> {
        match self {
            Self::None => None,
            Self::Addresses(addresses) => Some(name(addresses)),
            Self::Lost | Self::Missing => Some(lost.clone()),
        }
    }
}

fn id_at(key: &[u8], at: usize) -> i32 {
    unsigned(&key[at..at + 4]) as i32
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
        let ids: HashSet<i32> = keys.iter().flat_map(|key| stack_ids(source, key)).collect();
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
        let full = source.is_full(keys.len(), ids.len());
        if full {
            for key in &keys {
                self.take(source, key);
            }
        }
        if full || source.stale {
            prune(source);
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

fn stack_ids(source: &Source, key: &[u8]) -> impl Iterator<Item = i32> {
    let plan = source.plan();
    let places = [plan.user.map(|u| u.stack_at), plan.kernel_at];
    let ids: Vec<i32> = places.into_iter().flatten().map(|at| id_at(key, at)).collect();
    ids.into_iter().filter(|id| *id >= 0)
}

/// Removes stacks that no row has any more. A program may have found one at just that moment: its row then has none
/// until it finds the same again.
fn prune(source: &Source) {
    let Some(stacks) = &source.table.stacks else { return };
    let all: HashSet<i32> = stack_keys(stacks);
    std::thread::sleep(PASS);
    let keys = map::keys(&source.table.map);
    let used: HashSet<i32> = keys.iter().flat_map(|key| stack_ids(source, key)).collect();
    all.difference(&used).for_each(|id| drop(stacks.delete(&id.to_ne_bytes())));
}

fn stack_keys(stacks: &MapHandle) -> HashSet<i32> {
    map::keys(stacks).iter().map(|key| id_at(key, 0)).collect()
}
