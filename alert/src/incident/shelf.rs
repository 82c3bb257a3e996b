//! Where incidents are kept: counted, found by container, and gone when they are over or others need the room.

use super::Incidents;
use super::ground::Ground;
use super::open::Open;
use super::telling::tell;
use super::told::{Incident, State};
use crate::alarm::Severity;
use crate::time::SECOND;

/// Kept at a time, told or not.
const MOST: usize = 512;
/// Once all of its containers ended, so long after nothing more comes.
const AFTER_END: u64 = 30 * SECOND;

impl Incidents {
    /// Takes one out to change it; `keep` puts it back.
    pub(super) fn take(&mut self, key: u64) -> Option<Open> {
        let open = self.open.remove(&key)?;
        self.memory -= open.memory();
        Some(open)
    }

    pub(super) fn keep(&mut self, key: u64, open: Open) {
        self.memory += open.memory();
        for part in &open.parts {
            self.of_container.entry(part.id.clone()).or_default().insert(key);
        }
        self.open.insert(key, open);
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Open> {
        let open = self.take(key)?;
        for part in &open.parts {
            if let Some(keys) = self.of_container.get_mut(&part.id) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.of_container.remove(&part.id);
                }
            }
        }
        if self.founded.get(&open.founder) == Some(&key) {
            self.founded.remove(&open.founder);
        }
        Some(open)
    }

    pub(super) fn in_container(&self, container: &str) -> impl Iterator<Item = (u64, &Open)> {
        let keys = self.of_container.get(container).into_iter().flatten();
        keys.filter_map(|key| Some((*key, self.open.get(key)?)))
    }

    /// Those that matter least go; what was told is told as over before it goes.
    pub(super) fn make_room(&mut self, but: u64) {
        while self.open.len() > MOST || self.memory > self.budget {
            let others = self.open.iter().filter(|(key, _)| **key != but);
            let least = others.min_by(|(_, a), (_, b)| {
                let weight = |open: &Open| (open.is_told(), open.weight.score(), open.last);
                weight(a).partial_cmp(&weight(b)).unwrap_or(std::cmp::Ordering::Equal)
            });
            let Some(key) = least.map(|(key, _)| *key) else { return };
            self.evicted += 1;
            let gone = self.remove(key).filter(Open::is_told);
            self.gone.extend(gone);
        }
    }

    /// What is to be told now.
    pub fn due(&mut self, ground: &Ground, now: u64) -> Vec<Incident> {
        let over = |open: &Open| now >= open.last.saturating_add(self.window) || ended(open, now);
        let keys: Vec<u64> = self.open.iter().filter(|(_, open)| over(open)).map(|(key, _)| *key).collect();
        let gone: Vec<Open> =
            keys.into_iter().filter_map(|key| self.remove(key)).filter(Open::is_told).collect();
        self.gone.extend(gone);
        let mut told = self.farewells(ground, now);
        let keys: Vec<u64> =
            self.open.iter().filter(|(_, open)| open.speaks(now)).map(|(key, _)| *key).collect();
        told.extend(keys.into_iter().flat_map(|key| self.news(key, ground, now)));
        told
    }

    fn farewells(&mut self, ground: &Ground, now: u64) -> Vec<Incident> {
        let gone = std::mem::take(&mut self.gone).into_iter();
        gone.map(|mut open| {
            open.state = State::Over;
            tell(&mut open, ground, now)
        })
        .collect()
    }

    /// Tells one if it has something to say, and what went to make room for it.
    pub fn news(&mut self, key: u64, ground: &Ground, now: u64) -> Vec<Incident> {
        let mut told = self.farewells(ground, now);
        if let Some(open) = self.open.get_mut(&key).filter(|open| open.speaks(now)) {
            self.told += u64::from(!open.is_told());
            told.push(tell(open, ground, now));
        }
        told
    }

    pub fn ended(&mut self, container: &str, time: u64) {
        let keys = self.of_container.get(container).cloned().unwrap_or_default();
        for key in keys {
            let Some(open) = self.open.get_mut(&key) else { continue };
            for part in open.parts.iter_mut().filter(|part| &*part.id == container) {
                part.ended = Some(time);
            }
        }
    }

    /// The public id of one that was told.
    pub fn told_id(&self, key: u64) -> Option<&str> {
        self.open.get(&key).filter(|open| open.is_told()).map(|open| open.id.as_str())
    }

    pub fn is_told(&self, key: u64) -> bool {
        self.told_id(key).is_some()
    }

    /// Whether it was told, and what is odd in that container is worth telling with it.
    pub fn is_told_of(&self, key: u64, container: &str) -> bool {
        self.open.get(&key).is_some_and(|open| open.is_told_of(container))
    }

    /// Whether a rule of high severity speaks in it.
    pub fn is_grave(&self, key: u64) -> bool {
        self.open.get(&key).is_some_and(|open| open.weight.severity() >= Severity::High)
    }

    /// Families of its alarms.
    pub fn families(&self, key: u64) -> impl Iterator<Item = u128> {
        self.open.get(&key).into_iter().flat_map(|open| open.alarms.iter().map(|alarm| alarm.family))
    }

    /// Incidents told, ever, and those of them that still are open.
    pub fn counts(&self) -> (u64, u64) {
        (self.told, self.open.values().filter(|open| open.is_told()).count() as u64)
    }

    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    pub fn memory(&self) -> usize {
        self.memory + self.of_container.len() * 120 + self.founded.len() * 48
    }
}

fn ended(open: &Open, now: u64) -> bool {
    let all: Option<Vec<u64>> = open.parts.iter().map(|part| part.ended).collect();
    let latest = all.and_then(|ends| ends.into_iter().max());
    latest.is_some_and(|latest| now >= latest.max(open.last) + AFTER_END)
}
