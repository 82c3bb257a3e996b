//! What processes did lately that no alarm spoke of, in case one will: the most recent of all, each process's linked.

use std::collections::{HashMap, VecDeque};

use super::deed::Object;
use crate::process::Serial;

/// Kept of all processes.
const MOST: usize = 4096;
/// Looked at of one.
const OF_ONE: usize = 12;
/// Of these the latest are asked whether they were the same.
const SAME: usize = 4;

#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    pub kind: Box<str>,
    pub object: Object,
    pub failed: bool,
    pub time: u64,
    pub count: u64,
}

#[derive(Debug)]
struct Linked {
    act: Act,
    serial: Serial,
    /// The same process's one before, by number.
    before: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Acts {
    all: VecDeque<Linked>,
    /// Number of the oldest.
    oldest: u64,
    /// Number of each process's latest.
    latest: HashMap<Serial, u64>,
    pub evicted: u64,
    pub memory: usize,
}

fn size(act: &Act) -> usize {
    let object = match &act.object {
        Object::Nothing => 0,
        Object::File(text) | Object::Peer(text) => text.len(),
    };
    size_of::<Linked>() + act.kind.len() + object + 64
}

impl Acts {
    pub fn add(&mut self, serial: Serial, act: Act) {
        let recent: Vec<u64> = self.numbers(serial).take(SAME).collect();
        for number in recent {
            let known = &mut self.all[(number - self.oldest) as usize].act;
            if (&known.kind, &known.object, known.failed) == (&act.kind, &act.object, act.failed) {
                known.count += 1;
                return;
            }
        }
        if self.all.len() >= MOST {
            self.drop_oldest();
        }
        let number = self.next();
        let before = self.latest.insert(serial, number);
        self.memory += size(&act);
        self.all.push_back(Linked { act, serial, before });
    }

    fn drop_oldest(&mut self) {
        let Some(gone) = self.all.pop_front() else { return };
        if self.latest.get(&gone.serial) == Some(&self.oldest) {
            self.latest.remove(&gone.serial);
        }
        self.memory -= size(&gone.act);
        self.oldest += 1;
        self.evicted += 1;
    }

    fn numbers(&self, serial: Serial) -> impl Iterator<Item = u64> {
        let there = |number: &u64| *number >= self.oldest;
        let before = move |number: &u64| self.all[(number - self.oldest) as usize].before.filter(there);
        std::iter::successors(self.latest.get(&serial).copied(), before)
    }

    /// The latest of a process from a number on, in order of time.
    pub fn of(&self, serial: Serial, from: u64) -> Vec<&Act> {
        let numbers = self.numbers(serial).take_while(|number| *number >= from).take(OF_ONE);
        let mut acts: Vec<&Act> = numbers.map(|n| &self.all[(n - self.oldest) as usize].act).collect();
        acts.reverse();
        acts
    }

    /// The number that the next one gets.
    pub fn next(&self) -> u64 {
        self.oldest + self.all.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(path: &str) -> Act {
        Act { kind: "wrote".into(), object: Object::File(path.into()), failed: false, time: 0, count: 1 }
    }

    #[test]
    fn what_a_process_did_is_found_in_order_and_repetitions_are_counted() {
        let mut acts = Acts::default();
        for path in ["/a", "/b", "/a"] {
            acts.add(1, act(path));
            acts.add(2, act("/c"));
        }
        let of = |serial| acts.of(serial, 0).iter().map(|a| (a.object.clone(), a.count)).collect::<Vec<_>>();
        assert_eq!(of(1), [(Object::File("/a".into()), 2), (Object::File("/b".into()), 1)]);
        assert!(acts.of(1, acts.next()).is_empty() && acts.of(1, 1).len() == 1);
        assert_eq!(of(2), [(Object::File("/c".into()), 3)]);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut acts = Acts::default();
        for n in 0..3 * MOST as u64 {
            acts.add(n % 7, act(&n.to_string()));
        }
        assert_eq!((acts.all.len(), acts.evicted, acts.latest.len()), (MOST, 2 * MOST as u64, 7));
        acts.add(99, act("/one"));
        for n in 0..MOST as u64 {
            acts.add(1, act(&n.to_string()));
        }
        assert!(acts.of(99, 0).is_empty() && !acts.latest.contains_key(&99));
    }
}
