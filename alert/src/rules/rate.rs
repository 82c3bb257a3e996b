//! Rules that speak once so many events matched within a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::rule::Rule;
use crate::event::Event;
use crate::expression::View;

/// Most keys that are counted at a time.
const KEYS_MAX: usize = 4096;
/// Most times that are remembered for all of them.
const TIMES_MAX: usize = 65_536;
/// Longest key, in bytes.
const KEY_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    pub count: usize,
    /// Nanoseconds.
    pub within: u64,
    /// Paths whose values are counted apart; without any, containers.
    pub by: Vec<String>,
    /// Paths whose different values are counted, not events.
    pub distinct: Vec<String>,
    pub(super) terms: Vec<usize>,
    pub(super) distinct_terms: Vec<usize>,
}

type Key = (Arc<str>, String);
/// When, and of `distinct` what the values were, in short.
type Match = (u64, Option<u64>);

/// Of each key its latest matches, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    keys: HashMap<Key, (u64, VecDeque<Match>)>,
    /// By when they were last used.
    order: BTreeMap<u64, Key>,
    clock: u64,
    times: usize,
    evicted: u64,
    /// Nobody can choose values that are taken for one another.
    hashed: RandomState,
}

impl Rates {
    /// Of a rule whose condition holds: always, or only now that its rate is reached.
    pub fn speaks(&mut self, rule: &Rule, event: &Event, view: &View<'_>) -> bool {
        match &rule.rate {
            None => true,
            Some(rate) => {
                let key = (rule.id.clone(), key(rate, event, view));
                let distinct = &rate.distinct_terms;
                let values = (!distinct.is_empty()).then(|| self.hashed.hash_one(joined(distinct, view)));
                self.count(rate, key, (event.time(), values))
            }
        }
    }

    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Only of rules for which that is asked.
    pub fn of_rules(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut kept = self.clone();
        kept.keys.retain(|(id, _), _| keep(id));
        kept.order.retain(|_, (id, _)| keep(id));
        kept.times = kept.keys.values().map(|(_, times)| times.len()).sum();
        kept
    }

    fn count(&mut self, rate: &Rate, key: Key, (now, values): Match) -> bool {
        self.clock += 1;
        let (used, times) = self.keys.entry(key.clone()).or_default();
        self.order.remove(used);
        *used = self.clock;
        self.order.insert(self.clock, key);
        let before = times.len();
        // Events of several processors are not quite in order.
        let latest = times.back().map_or(now, |&(last, _)| last.max(now));
        if values.is_some()
            && let Some(seen) = times.iter().position(|&(_, earlier)| earlier == values)
        {
            times.remove(seen);
        }
        times.push_back((latest, values));
        while times.front().is_some_and(|&(first, _)| first.saturating_add(rate.within) < latest) {
            times.pop_front();
        }
        let reached = times.len() >= rate.count;
        if reached {
            times.clear();
        }
        self.times = self.times - before + times.len();
        self.forget();
        reached
    }

    fn forget(&mut self) {
        while self.keys.len() > KEYS_MAX || self.times > TIMES_MAX {
            let Some((_, key)) = self.order.pop_first() else { return };
            if let Some((_, times)) = self.keys.remove(&key) {
                self.times -= times.len();
                self.evicted += 1;
            }
        }
    }
}

fn key(rate: &Rate, event: &Event, view: &View<'_>) -> String {
    if rate.terms.is_empty() {
        return event.container().to_owned();
    }
    let mut key = joined(&rate.terms, view);
    let end = (0..=KEY_MAX.min(key.len())).rev().find(|&at| key.is_char_boundary(at)).unwrap_or_default();
    key.truncate(end);
    key
}

fn joined(terms: &[usize], view: &View<'_>) -> String {
    let texts = terms.iter().map(|&term| view.get(term).map(ToString::to_string).unwrap_or_default());
    texts.collect::<Vec<_>>().join("\u{1f}")
}
