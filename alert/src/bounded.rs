//! A table of at most so many entries: whoever was not used for longest makes room, and that is counted.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

#[derive(Debug, Clone)]
pub struct Bounded<K, V> {
    most: usize,
    entries: HashMap<K, (u64, V)>,
    /// By when they were used last.
    used: BTreeMap<u64, K>,
    clock: u64,
    evicted: u64,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    pub fn new(most: usize) -> Self {
        Self { most, entries: HashMap::new(), used: BTreeMap::new(), clock: 0, evicted: 0 }
    }

    /// Its entry, made if it is new; used now.
    pub fn entry(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        self.clock += 1;
        let clock = self.clock;
        if let Some((at, _)) = self.entries.get_mut(key) {
            self.used.remove(at);
            *at = clock;
        } else {
            if self.entries.len() >= self.most
                && let Some((_, oldest)) = self.used.pop_first()
            {
                self.entries.remove(&oldest);
                self.evicted += 1;
            }
            self.entries.insert(key.clone(), (clock, make()));
        }
        self.used.insert(clock, key.clone());
        // Just put there.
        &mut self.entries.get_mut(key).expect("an entry of this key").1
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (at, value) = self.entries.remove(key)?;
        self.used.remove(&at);
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many made room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut table = Bounded::new(2);
        *table.entry(&'a', || 1) += 1;
        table.entry(&'b', || 1);
        table.entry(&'a', || 1);
        table.entry(&'c', || 1);
        assert_eq!((table.get(&'a'), table.get(&'b'), table.get(&'c')), (Some(&2), None, Some(&1)));
        assert_eq!((table.evicted(), table.len()), (1, 2));
        assert_eq!(table.remove(&'a'), Some(2));
        table.entry(&'d', || 1);
        assert_eq!((table.evicted(), table.len()), (1, 2));
    }
}
