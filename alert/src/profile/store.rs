//! All profiles, and which one each container has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::{ANY_DIGEST, Key};
use super::novelty::{self, Novelty};
use super::one::{Act, Bounds, Inherited, Outcome, Profile, State};
use super::seat::Seat;
use super::summary::Summary;
use super::told::Told;
use super::tree::Leaves;
use crate::behaviour::Behaviour;
use crate::event::Event;
use crate::meaning::EventMeaning;
use crate::time::SECOND;

const CONTAINERS_MAX: usize = 4096;
/// How long a container that ended may still have events.
const LATE: u64 = 60 * SECOND;
/// Between looks at how much memory there is in use.
const LOOK: u64 = 10 * SECOND;

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A profile is believed no sooner, in nanoseconds.
    pub learn: u64,
    /// Bytes of all profiles.
    pub memory: usize,
    pub profiles: usize,
    /// Of one profile.
    pub entries: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { learn: 3600 * SECOND, memory: 12 << 20, profiles: 256, entries: 4096 }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Taken up now.
    Learned,
    /// Or nothing that makes behaviour.
    Known,
    /// New to a profile that has not settled, and not taken up.
    Learning,
    Novel(Box<Novelty>),
}

#[derive(Debug, Clone, Default)]
pub struct Profiles {
    settings: Settings,
    slots: Vec<Option<Profile>>,
    keys: BTreeMap<Arc<Key>, usize>,
    seats: BTreeMap<Box<str>, Seat>,
    told: Told,
    evicted: BTreeMap<&'static str, u64>,
    bytes: usize,
    looked: u64,
}

impl Profiles {
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    pub fn observe(&mut self, event: &Event, meaning: &EventMeaning, may_learn: bool) -> Verdict {
        match Behaviour::of(event, meaning) {
            Some(behaviour) => self.observe_behaviour(event, &behaviour, may_learn),
            None => Verdict::Known,
        }
    }

    /// Of an event whose behaviour is known already.
    pub fn observe_behaviour(&mut self, event: &Event, b: &Behaviour, may_learn: bool) -> Verdict {
        let (container, time) = (event.container(), event.time());
        if !self.seats.contains_key(container) {
            self.seat(event);
        }
        let Some(seat) = self.seats.get_mut(container) else { return Verdict::Learning };
        let Some(profile) = self.slots.get_mut(seat.profile).and_then(Option::as_mut) else {
            return Verdict::Learning;
        };
        seat.last = time;
        seat.settle(profile, time);
        let act = Act { behaviour: b, who: seat.who(), phase: seat.phase(), time, may_learn };
        let bounds = Bounds { learn: self.settings.learn, entries: self.settings.entries / 2 };
        let outcome = profile.observe(&act, bounds);
        seat.events += 1;
        match outcome {
            Outcome::Known => Verdict::Known,
            Outcome::Learning => Verdict::Learning,
            Outcome::Learned => {
                seat.new += 1;
                Verdict::Learned
            }
            Outcome::Novel { leaves, factor } => {
                seat.new += 1;
                Verdict::Novel(Box::new(told(&mut self.told, seat.hash, profile, b, leaves, factor)))
            }
        }
    }

    fn seat(&mut self, event: &Event) {
        let [image, digest, role] = [event.image(), event.image_id(), event.role()].map(str::to_owned);
        let key = Key { image, digest, role };
        let shipped = Key { digest: ANY_DIGEST.to_owned(), ..key.clone() };
        let own = self.keys.get(&key).copied();
        let profile = match self.keys.get(&shipped) {
            Some(shipped) if !own.is_some_and(|own| self.is_pinned(own)) => *shipped,
            _ => own.unwrap_or_else(|| self.begin(key, event.time())),
        };
        self.inherit_again(profile);
        if self.seats.len() >= CONTAINERS_MAX {
            self.forget_container();
        }
        let seat = Seat::new(profile, event.container(), event.time());
        self.seats.insert(event.container().into(), seat);
    }

    fn is_pinned(&self, at: usize) -> bool {
        self.slots[at].as_ref().is_some_and(|profile| profile.pinned)
    }

    /// Of the containers that ended, else of all, the one that is silent for longest.
    fn forget_container(&mut self) {
        let order = |seat: &Seat| (seat.ended.is_none(), seat.last);
        let oldest = self.seats.iter().min_by_key(|(_, seat)| order(seat)).map(|(id, _)| id.clone());
        if let Some(id) = oldest {
            let time = self.seats[&id].last;
            self.leave(&id, time);
            *self.evicted.entry("profile_containers").or_default() += 1;
        }
    }

    fn begin(&mut self, key: Key, time: u64) -> usize {
        if self.keys.len() >= self.settings.profiles {
            self.forget_profile();
        }
        let mut profile = Profile::new(key);
        profile.inherited = self.predecessor(&profile.key).map(|before| Inherited::of(before, time));
        self.put(profile)
    }

    /// Of the same image and role: one that has settled, else any, and of these the one that was seen last.
    fn predecessor(&self, key: &Key) -> Option<&Profile> {
        let same = |other: &Key| other.is_kin(key);
        let all = self.keys.iter().filter(|(other, _)| same(other) && ***other != *key);
        let profiles = all.filter_map(|(_, at)| self.slots[*at].as_ref()).filter(|p| p.entries() > 0);
        let settled = |profile: &Profile| matches!(profile.state(), State::Converged | State::Pinned);
        profiles.max_by_key(|profile| (settled(profile), profile.last))
    }

    /// A profile from a file says whose successor it was, but not what that knew.
    fn inherit_again(&mut self, at: usize) {
        let Some(profile) = &self.slots[at] else { return };
        let Some(waits) = profile.inherited.as_ref().filter(|i| i.trees.iter().all(|t| t.entries() == 0))
        else {
            return;
        };
        let key = Key { digest: waits.digest.clone(), ..(*profile.key).clone() };
        let since = waits.since;
        let before = self.get(&key).map(|before| Inherited::of(before, since));
        if let Some(profile) = &mut self.slots[at] {
            profile.inherited = before;
        }
    }

    fn put(&mut self, profile: Profile) -> usize {
        let at = self.keys.get(&profile.key).copied();
        let at = at.or_else(|| self.slots.iter().position(Option::is_none)).unwrap_or(self.slots.len());
        if at == self.slots.len() {
            self.slots.push(None);
        }
        self.keys.insert(profile.key.clone(), at);
        self.slots[at] = Some(profile);
        at
    }

    /// The one that is silent for longest and not pinned; whether there was one.
    fn forget_profile(&mut self) -> bool {
        let all = self.slots.iter().enumerate().filter_map(|(at, p)| p.as_ref().map(|p| (at, p)));
        let oldest = all.filter(|(_, p)| !p.pinned).min_by_key(|(at, p)| (p.last, *at)).map(|(at, _)| at);
        let Some(at) = oldest else { return false };
        self.clear(at);
        *self.evicted.entry("profiles").or_default() += 1;
        true
    }

    fn clear(&mut self, at: usize) {
        if let Some(profile) = self.slots[at].take() {
            self.keys.remove(&profile.key);
            self.count(&profile);
        }
        self.seats.retain(|_, seat| seat.profile != at);
    }

    /// What it had to forget stays counted.
    fn count(&mut self, profile: &Profile) {
        *self.evicted.entry("profile_entries").or_default() += profile.refused;
        *self.evicted.entry("profile_pending").or_default() += profile.pending.evicted;
    }

    pub fn ended(&mut self, container: &str, time: u64) {
        let Some(seat) = self.seats.get_mut(container) else { return };
        seat.ended = Some(time);
        if let Some(profile) = self.slots.get_mut(seat.profile).and_then(Option::as_mut) {
            seat.end(profile, time);
        }
    }

    fn leave(&mut self, container: &str, time: u64) {
        self.ended(container, time);
        self.seats.remove(container);
    }

    pub fn tick(&mut self, time: u64) {
        if time.saturating_sub(self.looked) < LOOK {
            return;
        }
        self.looked = time;
        self.seats.retain(|_, seat| seat.ended.is_none_or(|ended| time.saturating_sub(ended) < LATE));
        for seat in self.seats.values_mut() {
            if let Some(profile) = self.slots.get_mut(seat.profile).and_then(Option::as_mut) {
                seat.settle(profile, time);
            }
        }
        self.bytes = self.measure();
        while self.bytes > self.settings.memory && self.keys.len() > 1 && self.forget_profile() {
            self.bytes = self.measure();
        }
    }

    fn measure(&self) -> usize {
        let profiles: usize = self.slots.iter().flatten().map(Profile::memory).sum();
        let seats = self.seats.len() * (size_of::<(Box<str>, Seat)>() * 3 / 2 + 80);
        profiles + seats + self.told.bytes()
    }

    /// Bytes in use, as of the last look.
    pub fn memory(&self) -> usize {
        self.bytes
    }

    pub fn evicted(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.evicted.clone();
        for profile in self.slots.iter().flatten() {
            *all.entry("profile_entries").or_default() += profile.refused;
            *all.entry("profile_pending").or_default() += profile.pending.evicted;
        }
        all.insert("profile_novelties", self.told.evicted);
        all
    }

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = Summary> {
        self.keys.values().filter_map(|at| self.slots[*at].as_ref()).map(Summary::of)
    }

    pub fn get(&self, key: &Key) -> Option<&Profile> {
        self.keys.get(key).and_then(|at| self.slots[*at].as_ref())
    }

    pub fn pin(&mut self, profile: Profile) {
        self.import(Profile { pinned: true, inherited: None, ..profile });
    }

    /// Whether there was one: from then on it learns.
    pub fn unpin(&mut self, key: &Key) -> bool {
        let at = self.keys.get(key).copied();
        let profile = at.and_then(|at| self.slots[at].as_mut());
        profile.map(|profile| profile.pinned = false).is_some()
    }

    /// In place of the one of the same key. Containers that ran go on under it.
    pub fn import(&mut self, profile: Profile) {
        let new = !self.keys.contains_key(profile.key());
        if new && self.keys.len() >= self.settings.profiles {
            self.forget_profile();
        }
        let (of, any) = (profile.key.clone(), profile.key.digest == ANY_DIGEST);
        let at = self.put(profile);
        let meant = |key: &Key| any && key.image == of.image && key.role == of.role;
        let others: Vec<_> = self
            .keys
            .iter()
            .filter(|(key, i)| meant(key) && **i != at && !self.is_pinned(**i))
            .map(|(_, i)| *i)
            .collect();
        for seat in self.seats.values_mut().filter(|seat| others.contains(&seat.profile)) {
            seat.profile = at;
        }
    }

    /// Whether there was one.
    pub fn remove(&mut self, key: &Key) -> bool {
        let at = self.keys.get(key).copied();
        at.map(|at| self.clear(at)).is_some()
    }
}

fn told(
    told: &mut Told,
    container: u64,
    profile: &Profile,
    b: &Behaviour,
    leaves: Leaves,
    factor: f64,
) -> Novelty {
    let level = novelty::known_levels(leaves);
    let place = told.place(container, b, level);
    let depth = novelty::depth(b, leaves, &place);
    told.tell(&place, depth);
    let attribute = place.parts.join(" ");
    Novelty {
        score: novelty::score(b, depth, factor),
        class: b.class.clone(),
        operation: b.operation.clone(),
        role: b.role.clone(),
        why: novelty::why(&profile.key, b, &attribute, level),
        key: profile.key.clone(),
        attribute,
        pinned: profile.pinned,
    }
}
