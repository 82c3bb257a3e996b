//! Behaviour that is not believed yet: of one replica among several, or new to a profile that has settled.

use std::collections::{BTreeMap, VecDeque};

use super::entry::{Entry, Who, seconds};
use super::{Phase, hash};
use crate::behaviour::Behaviour;

pub const PENDING_MAX: usize = 1024;
const DAY: u32 = 24 * 3600;

#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    pub phase: Phase,
    pub behaviour: Behaviour,
    pub entry: Entry,
    /// On so many different days.
    pub days: u32,
    /// It came while its phase was learned: known to those that did it then.
    pub early: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Pending {
    all: BTreeMap<u64, Waiting>,
    /// As they came.
    order: VecDeque<u64>,
    pub evicted: u64,
}

fn key(phase: Phase, b: &Behaviour) -> u64 {
    let start = hash::of(&[phase as u8]);
    let names = [&b.class, &b.operation, &b.role].into_iter().chain(&b.parts);
    names.fold(start, |hash, name| hash::more(hash, name.as_bytes()))
}

impl Pending {
    pub fn get(&self, phase: Phase, b: &Behaviour) -> Option<&Waiting> {
        self.all.get(&key(phase, b))
    }

    /// Whether something of the time in which the phase was learned is not believed yet.
    pub fn has_early(&self, phase: Phase) -> bool {
        self.all.values().any(|waiting| waiting.early && waiting.phase == phase)
    }

    /// As it is now, and whether it is new here.
    pub fn saw(&mut self, phase: Phase, b: &Behaviour, who: Who, time: u64, early: bool) -> (&Waiting, bool) {
        let key = key(phase, b);
        let new = !self.all.contains_key(&key);
        if new {
            self.make_room();
            self.order.push_back(key);
        }
        let waiting = self.all.entry(key).or_insert_with(|| Waiting {
            phase,
            behaviour: b.clone(),
            entry: Entry::default(),
            days: 0,
            early,
        });
        if new || waiting.entry.last / DAY < seconds(time) / DAY {
            waiting.days += 1;
        }
        waiting.entry.saw(who, time);
        (waiting, new)
    }

    pub fn put(&mut self, waiting: Waiting) {
        let key = key(waiting.phase, &waiting.behaviour);
        if self.all.insert(key, waiting).is_none() {
            self.make_room();
            self.order.push_back(key);
        }
    }

    pub fn take(&mut self, phase: Phase, b: &Behaviour) -> Option<Waiting> {
        let key = key(phase, b);
        let taken = self.all.remove(&key)?;
        self.order.retain(|one| *one != key);
        Some(taken)
    }

    fn make_room(&mut self) {
        while self.order.len() >= PENDING_MAX {
            let oldest = self.order.pop_front();
            self.evicted += u64::from(oldest.and_then(|key| self.all.remove(&key)).is_some());
        }
    }

    /// In the order of what they are.
    pub fn sorted(&self) -> Vec<&Waiting> {
        let mut all: Vec<_> = self.all.values().collect();
        all.sort_by(|a, b| (a.phase, &a.behaviour).cmp(&(b.phase, &b.behaviour)));
        all
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn bytes(&self) -> usize {
        let texts = |b: &Behaviour| {
            let names = [&b.class, &b.operation, &b.role].into_iter().chain(&b.parts);
            names.map(|name| super::allocated(name.capacity())).sum::<usize>() + b.parts.capacity() * 24
        };
        let each = size_of::<(u64, Waiting)>() * 3 / 2 + size_of::<u64>();
        self.all.values().map(|w| texts(&w.behaviour)).sum::<usize>() + self.all.len() * each
    }
}
