//! One profile: what is known of an image's behaviour, and how it came to be known.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::course::Course;
use super::entry::{Entry, Who, seconds};
use super::key::Key;
use super::novelty;
use super::pending::Pending;
use super::tree::{Leaves, Tree};
use crate::behaviour::Behaviour;
use crate::time::SECOND;

const DAY: u64 = 24 * 3600 * SECOND;
/// A replica that is silent for so long does not count: it may have ended unheard.
const SILENT: u64 = 3600 * SECOND;
const ALIVE_MAX: usize = 256;
/// New behaviour of a container that has no others beside it is learned on its third day.
const DAYS: u32 = 3;

/// A container's first minute, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    StartUp,
    Steady,
}

impl Phase {
    pub const ALL: [Self; 2] = [Self::StartUp, Self::Steady];

    pub fn name(self) -> &'static str {
        ["start-up", "steady"][self as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Learning,
    /// What its predecessor knew is known, until it has settled itself.
    Probation,
    Converged,
    /// From a file; never changed.
    Pinned,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Learned {
    /// Shared with a successor on probation.
    pub tree: Arc<Tree>,
    pub course: Course,
}

/// What is known of the digest before.
#[derive(Debug, Clone)]
pub(super) struct Inherited {
    pub digest: String,
    pub since: u64,
    pub trees: [Arc<Tree>; 2],
    pub settled: [bool; 2],
}

impl Inherited {
    pub fn of(before: &Profile, since: u64) -> Self {
        Self {
            digest: before.key.digest.clone(),
            since,
            trees: [before.phases[0].tree.clone(), before.phases[1].tree.clone()],
            settled: [0, 1].map(|i| before.pinned || before.phases[i].course.converged.is_some()),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Profile {
    pub(super) key: Arc<Key>,
    pub(super) phases: [Learned; 2],
    pub(super) inherited: Option<Inherited>,
    pub(super) pending: Pending,
    pub(super) pinned: bool,
    /// With the time of the last event.
    pub(super) alive: BTreeMap<Who, u64>,
    /// Seen in all.
    pub(super) containers: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) events: u64,
    /// Entries that there was no room for.
    pub(super) refused: u64,
}

/// One event as a profile takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act<'b> {
    pub behaviour: &'b Behaviour,
    pub who: Who,
    pub phase: Phase,
    pub time: u64,
    pub may_learn: bool,
}

pub(super) enum Outcome {
    Known,
    Learned,
    Learning,
    Novel { leaves: Leaves, factor: f64 },
}

/// What all profiles keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub learn: u64,
    /// Of one phase.
    pub entries: usize,
}

impl Profile {
    pub fn new(key: Key) -> Self {
        Self { key: Arc::new(key), ..Self::default() }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn state(&self) -> State {
        let settled = |phase: Phase| self.phases[phase as usize].course.converged.is_some();
        let steady = self.phases[Phase::Steady as usize].course.events > 0;
        match &self.inherited {
            _ if self.pinned => State::Pinned,
            _ if settled(Phase::Steady) || !steady && settled(Phase::StartUp) => State::Converged,
            Some(_) => State::Probation,
            None => State::Learning,
        }
    }

    pub fn entries(&self) -> usize {
        self.phases.iter().map(|phase| phase.tree.entries()).sum()
    }

    /// Each entry with its phase, in order.
    pub fn walk(&self, each: &mut dyn FnMut(Phase, Behaviour, &Entry)) {
        for phase in Phase::ALL {
            self.phases[phase as usize].tree.walk(&mut |b, entry| each(phase, b, entry));
        }
    }

    pub(super) fn observe(&mut self, act: &Act, bounds: Bounds) -> Outcome {
        self.events += 1;
        self.last = self.last.max(act.time);
        self.lives(act.who, act.time);
        if self.pinned {
            return self.judge(act);
        }
        let learned = &mut self.phases[act.phase as usize];
        if learned.tree.find(act.behaviour).is_ok() {
            Arc::make_mut(&mut learned.tree).saw(act.behaviour, act.who, act.time);
            self.passed(act, false, bounds);
            return Outcome::Known;
        }
        let settled = learned.course.converged.is_some();
        if self.is_known_elsewhere(act) {
            if !settled && act.may_learn {
                self.add(act, &entry(act), bounds);
            }
            self.passed(act, false, bounds);
            return Outcome::Known;
        }
        self.unknown(act, settled, bounds)
    }

    fn unknown(&mut self, act: &Act, settled: bool, bounds: Bounds) -> Outcome {
        let waiting = self.pending.get(act.phase, act.behaviour);
        if waiting.is_some_and(|w| w.early && w.entry.replicas.has(act.who)) {
            self.pending.saw(act.phase, act.behaviour, act.who, act.time, true);
            self.passed(act, false, bounds);
            return Outcome::Known;
        }
        let heir = self.inherited.as_ref().is_some_and(|i| i.settled[act.phase as usize]);
        let outcome = if settled || heir { self.novel(act, settled) } else { Outcome::Learning };
        if !act.may_learn {
            self.passed(act, false, bounds);
            return outcome;
        }
        let new = self.learn(act, settled, bounds);
        self.passed(act, new, bounds);
        match outcome {
            Outcome::Learning if new => Outcome::Learned,
            outcome => outcome,
        }
    }

    /// Whether it is new: known now, or waiting for others to do it, too.
    fn learn(&mut self, act: &Act, settled: bool, bounds: Bounds) -> bool {
        let alive = self.alive(act.time);
        if !settled && alive < 2 {
            return self.add(act, &entry(act), bounds);
        }
        let (waiting, new) = self.pending.saw(act.phase, act.behaviour, act.who, act.time, !settled);
        let replicas = waiting.entry.replicas.len();
        let quorum = replicas >= 2 && replicas * 2 >= alive.min(16);
        if quorum || alive < 2 && waiting.days >= DAYS {
            let waited = self.pending.take(act.phase, act.behaviour).map_or_else(|| entry(act), |w| w.entry);
            self.add(act, &waited, bounds);
        }
        new
    }

    fn add(&mut self, act: &Act, entry: &Entry, bounds: Bounds) -> bool {
        let tree = Arc::make_mut(&mut self.phases[act.phase as usize].tree);
        let added = tree.add(act.behaviour, entry, bounds.entries);
        self.refused += u64::from(!added);
        added
    }

    fn judge(&self, act: &Act) -> Outcome {
        let known = self.phases[act.phase as usize].tree.find(act.behaviour).is_ok();
        if known || self.is_known_elsewhere(act) { Outcome::Known } else { self.novel(act, true) }
    }

    /// What goes on in the steady phase is no surprise at the start.
    fn is_known_elsewhere(&self, act: &Act) -> bool {
        let knows = |trees: [&Tree; 2]| {
            let steady =
                act.phase == Phase::StartUp && trees[Phase::Steady as usize].find(act.behaviour).is_ok();
            steady || trees[act.phase as usize].find(act.behaviour).is_ok()
        };
        let inherited = self.inherited.as_ref();
        knows(self.trees()) || inherited.is_some_and(|i| knows([&i.trees[0], &i.trees[1]]))
    }

    fn trees(&self) -> [&Tree; 2] {
        [&self.phases[0].tree, &self.phases[1].tree]
    }

    fn novel(&self, act: &Act, settled: bool) -> Outcome {
        let find = |tree: &Tree| tree.find(act.behaviour).err();
        let own = find(&self.phases[act.phase as usize].tree);
        let before = self.inherited.as_ref().map(|i| find(&i.trees[act.phase as usize]));
        // The one that knows more of it.
        let all = [own, before.flatten()].into_iter().flatten();
        let leaves = all.max_by_key(|leaves| novelty::known_levels(*leaves)).unwrap_or(Leaves::Class);
        let waiting = self.pending.get(act.phase, act.behaviour);
        let others = waiting.map_or(0, |w| w.entry.replicas.iter().filter(|who| *who != act.who).count());
        let once = act.phase == Phase::Steady && self.phases[0].tree.find(act.behaviour).is_ok();
        let half = |is: bool| if is { 0.5 } else { 1.0 };
        let rarity = novelty::rarity(others, self.alive(act.time));
        Outcome::Novel { leaves, factor: rarity * half(!settled) * half(once) }
    }

    fn passed(&mut self, act: &Act, new: bool, bounds: Bounds) {
        let open = self.phases[Phase::StartUp as usize].course.converged.is_none();
        let steady = self.phases[Phase::Steady as usize].course.converged.is_some();
        let settled =
            act.phase == Phase::StartUp && open && steady && !self.pending.has_early(Phase::StartUp);
        let course = &mut self.phases[act.phase as usize].course;
        course.saw(act.time, new);
        match act.phase {
            Phase::StartUp => course.wait(act.time, settled),
            Phase::Steady => course.pass(act.time, bounds.learn),
        }
        let old = |i: &Inherited| act.time.saturating_sub(i.since) > DAY;
        if self.inherited.as_ref().is_some_and(old) && self.state() == State::Converged {
            self.inherited = None;
        }
    }

    fn alive(&self, time: u64) -> usize {
        self.alive.values().filter(|last| time.saturating_sub(**last) < SILENT).count()
    }

    fn lives(&mut self, who: Who, time: u64) {
        if self.first == 0 {
            self.first = time;
        }
        if let Some(last) = self.alive.get_mut(&who) {
            *last = time;
            return;
        }
        self.containers += 1;
        self.alive.retain(|_, last| time.saturating_sub(*last) < SILENT);
        if self.alive.len() < ALIVE_MAX {
            self.alive.insert(who, time);
        }
    }

    pub fn memory(&self) -> usize {
        let own = self.phases.iter().map(|phase| phase.tree.bytes()).sum::<usize>();
        let inherited = self.inherited.as_ref().map_or(0, |i| {
            let alone = i.trees.iter().filter(|tree| Arc::strong_count(tree) == 1);
            alone.map(|tree| tree.bytes()).sum()
        });
        size_of::<Self>() + own + inherited + self.pending.bytes() + self.alive.len() * 24
    }
}

fn entry(act: &Act) -> Entry {
    let time = seconds(act.time);
    let mut entry = Entry { count: 1, first: time, last: time, ..Entry::default() };
    entry.replicas.add(act.who);
    entry
}
