//! What is known of one container's stacks. All of it is bounded: a container may have as many names as it likes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{Stack, Stacks, UNKNOWN};

/// Bytes of the names of a container's functions.
const NAMES_MAX: usize = 4 << 20;
/// Addresses of its processes whose names are remembered.
const ADDRESSES_MAX: usize = 1 << 16;
/// Different stacks that are kept when the kernel has no room for them.
const KEPT_MAX: usize = 8192;
/// What stands for names, and for stacks, that there is no room for.
const MORE: &str = "[more]";
/// How often a container may kill the child that looks into its programs.
const STRIKES: u32 = 3;

/// A program that a process runs, or ran.
pub type Program = (u32, u64);

/// What ran: the thread's name and its stacks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sample {
    pub comm: Arc<str>,
    pub stacks: Stacks,
}

#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Of the weights.
    pub unit: String,
    pub samples: HashMap<Sample, u64>,
}

#[derive(Debug, Default)]
pub struct Store {
    names: HashSet<Arc<str>>,
    names_bytes: usize,
    addresses: HashMap<Program, HashMap<u64, Arc<str>>>,
    known: usize,
    /// Stacks of rows that are in the kernel's maps, by table and key.
    pub rows: HashMap<(u32, Vec<u8>), Stacks>,
    /// Taken out of the kernel's maps, by table.
    kept: HashMap<String, Kept>,
    strikes: u32,
    pub problem: Option<String>,
    /// It has ended; until then it may be asked for.
    pub until: Option<Instant>,
}

impl Store {
    /// The one copy of a name.
    pub fn intern(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name = if self.names_bytes + name.len() > NAMES_MAX { MORE } else { name };
        let name: Arc<str> = name.into();
        if self.names.insert(name.clone()) {
            self.names_bytes += name.len();
        }
        name
    }

    pub fn is_known(&self, program: Program, address: u64) -> bool {
        self.addresses.get(&program).is_some_and(|known| known.contains_key(&address))
    }

    pub fn learn(&mut self, program: Program, address: u64, name: &str) {
        if self.known >= ADDRESSES_MAX {
            self.addresses.clear();
            self.known = 0;
        }
        let name = self.intern(name);
        let new = self.addresses.entry(program).or_default().insert(address, name).is_none();
        self.known += usize::from(new);
    }

    /// Names of addresses that come the innermost first.
    pub fn stack(&mut self, program: Program, addresses: &[u64]) -> Stack {
        let known = self.addresses.get(&program);
        let name = |a: &u64| known.and_then(|k| k.get(a)).cloned();
        let names: Vec<Option<Arc<str>>> = addresses.iter().rev().map(name).collect();
        names.into_iter().map(|n| n.unwrap_or_else(|| self.intern(UNKNOWN))).collect()
    }

    /// Whether its programs may still be looked into.
    pub fn is_trusted(&self) -> bool {
        self.strikes < STRIKES
    }

    pub fn strike(&mut self, why: &str) {
        self.strikes += 1;
        let rest = if self.is_trusted() { "" } else { ", and no more of it is read" };
        self.problem = Some(format!("looking into one of its programs failed: {why}{rest}"));
    }

    /// Keeps what the kernel no longer does.
    pub fn keep(&mut self, table: &str, unit: &str, mut sample: Sample, weight: u64) {
        let new = || Kept { unit: unit.to_owned(), ..Kept::default() };
        let kept = &mut self.kept.entry(table.to_owned()).or_insert_with(new).samples;
        if kept.len() >= KEPT_MAX && !kept.contains_key(&sample) {
            sample = Sample { comm: MORE.into(), stacks: Stacks::default() };
        }
        let sum = kept.entry(sample).or_default();
        *sum = sum.saturating_add(weight);
    }

    pub fn all_kept(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.kept.iter().map(|(table, kept)| (table.as_str(), kept))
    }

    pub fn kept(&self, table: &str) -> Option<&Kept> {
        self.kept.get(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = (7, 0x1000);

    fn sample(store: &mut Store, i: usize) -> Sample {
        let name = store.intern(&format!("f{i}"));
        Sample { comm: "sh".into(), stacks: Stacks { user: Some([name].into()), kernel: None } }
    }

    #[test]
    fn stacks_are_told_from_the_outermost_on() {
        let mut store = Store::default();
        store.learn(PROGRAM, 1, "inner");
        store.learn(PROGRAM, 2, "outer");
        let stack = store.stack(PROGRAM, &[1, 2, 3]);
        assert_eq!(stack.iter().map(|n| &**n).collect::<Vec<_>>(), [UNKNOWN, "outer", "inner"]);
        assert_eq!(&*store.stack((7, 0x2000), &[1])[0], UNKNOWN);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut store = Store::default();
        for i in 0..NAMES_MAX / 256 + 100 {
            store.intern(&format!("{i:0256}"));
        }
        assert!(store.names_bytes <= NAMES_MAX + MORE.len());
        assert_eq!(&*store.intern("one too many"), MORE);
        for i in 0..ADDRESSES_MAX as u64 + 2 {
            store.learn(PROGRAM, i, "f");
        }
        assert!(store.known <= ADDRESSES_MAX && store.is_known(PROGRAM, ADDRESSES_MAX as u64 + 1));
    }

    #[test]
    fn what_is_kept_adds_up() {
        let mut store = Store::default();
        for i in 0..KEPT_MAX + 10 {
            let sample = sample(&mut store, i);
            store.keep("t", "samples", sample.clone(), 1);
            store.keep("t", "samples", sample, 2);
        }
        let kept = &store.kept("t").unwrap().samples;
        assert_eq!(kept.len(), KEPT_MAX + 1);
        assert_eq!(kept.values().sum::<u64>(), 3 * (KEPT_MAX as u64 + 10));
        assert!(store.kept("other").is_none());
    }

    #[test]
    fn a_container_that_kills_the_reader_is_left_alone() {
        let mut store = Store::default();
        for _ in 0..STRIKES {
            assert!(store.is_trusted());
            store.strike("killed");
        }
        assert!(!store.is_trusted());
        assert!(store.problem.unwrap().ends_with("no more of it is read"));
    }
}
