//! An incident that something may still come to.

use std::sync::Arc;

use super::acts::Act;
use super::deed::{Deed, Object};
use super::ground::Ground;
use super::kept::Kept;
use super::story::Story;
use super::told::State;
use super::weight::Weight;
use crate::alarm::Severity;
use crate::alarm::digest::id;
use crate::alarm::raw::Raw;
use crate::process::{Container, Lineage, Serial};
use crate::time::SECOND;

/// Alarms kept; the weightiest stay.
pub const ALARMS: usize = 64;
/// Containers named.
pub const CONTAINERS: usize = 32;
/// Kinds of children of a container's own work that a container takes part by.
const BRANCHES: usize = 8;
/// It is told from here on.
pub const TELLING: f64 = 10.0;
/// And told again after so long at the soonest.
const PAUSE: u64 = 300 * SECOND;

/// A container that takes part.
#[derive(Debug, Clone)]
pub struct Part {
    pub id: Arc<str>,
    pub name: Box<str>,
    pub image: Box<str>,
    pub workload: Box<str>,
    pub subject: Arc<str>,
    /// Events lost before it took part, and until now.
    pub lost: (u64, u64),
    pub ended: Option<u64>,
    /// When something last came by somebody from outside, or of the container's own work.
    pub outside: Option<u64>,
    pub inside: Option<u64>,
    /// The own work itself did something.
    pub by_base: bool,
    /// Programs that its own work started.
    pub branches: Vec<Box<str>>,
}

impl Part {
    fn new(container: &Container) -> Self {
        Self {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image.clone(),
            workload: container.workload.clone(),
            subject: container.subject.clone(),
            lost: (container.lost, container.lost),
            ended: None,
            outside: None,
            inside: None,
            by_base: false,
            branches: Vec::new(),
        }
    }
}

/// What it was when it was told.
#[derive(Debug, Clone, Copy)]
struct Said {
    time: u64,
    severity: Severity,
    score: f64,
    tactics: usize,
    alarms: u64,
}

#[derive(Debug)]
pub struct Open {
    pub id: String,
    pub state: State,
    pub first: u64,
    pub last: u64,
    /// What it began with.
    pub founder: u128,
    pub parts: Vec<Part>,
    pub alarms: Vec<Kept>,
    pub total: u64,
    pub left_out: u64,
    pub weight: Weight,
    pub story: Story,
    said: Option<Said>,
}

impl Open {
    pub fn new(raw: &Raw<'_>, family: u128) -> Self {
        let time = raw.event.time();
        let parts =
            [raw.event.container(), &format!("{family:x}"), &time.to_string(), &raw.actor.pid.to_string()];
        Self {
            id: id('i', &parts),
            state: State::Open,
            first: time,
            last: time,
            founder: family,
            parts: Vec::new(),
            alarms: Vec::new(),
            total: 0,
            left_out: 0,
            weight: Weight::default(),
            story: Story::default(),
            said: None,
        }
    }

    /// Number of a container in it; beyond the most that are named, the last.
    pub fn part(&mut self, container: &Container) -> usize {
        if let Some(at) = self.parts.iter().position(|part| part.id == container.id) {
            return at;
        }
        if self.parts.len() >= CONTAINERS {
            self.left_out += 1;
            return CONTAINERS - 1;
        }
        self.parts.push(Part::new(container));
        self.parts.len() - 1
    }

    /// Counts an alarm that it has; false if it has not.
    pub fn again(&mut self, container: &str, family: u128, time: u64) -> bool {
        let Some(part) = self.parts.iter().position(|part| &*part.id == container) else { return false };
        let Some(alarm) = self.alarms.iter_mut().find(|a| a.family == family && a.container == part) else {
            return false;
        };
        alarm.again(time);
        self.total += 1;
        true
    }

    /// Whether it is the first of its family here.
    pub fn add(&mut self, raw: &Raw<'_>, family: u128, part: usize, outside: bool) -> bool {
        self.total += 1;
        let first = !self.weight.has(family);
        self.weight.add(family, raw, outside);
        self.alarms.push(Kept::new(raw, family, part));
        self.shed();
        first
    }

    /// Of too many alarms the one that matters least goes, the latest of those.
    fn shed(&mut self) {
        while self.alarms.len() > ALARMS {
            let weight = |alarm: &Kept| (alarm.severity, alarm.score);
            let least = (0..self.alarms.len()).rev().min_by(|a, b| {
                weight(&self.alarms[*a])
                    .partial_cmp(&weight(&self.alarms[*b]))
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            self.alarms.remove(least.unwrap_or(ALARMS));
            self.left_out += 1;
        }
    }

    /// Says by which way a container takes part.
    pub fn came_by(&mut self, part: usize, lineage: &Lineage, branch: &str, time: u64) {
        let part = &mut self.parts[part];
        let last = if lineage.outside { &mut part.outside } else { &mut part.inside };
        *last = Some(last.unwrap_or(0).max(time));
        part.by_base |= lineage.apart.is_empty();
        if !branch.is_empty()
            && part.branches.len() < BRANCHES
            && !part.branches.iter().any(|b| **b == *branch)
        {
            part.branches.push(branch.into());
        }
    }

    /// Draws what the process, its ancestors and whoever made their programs did, alarm or not.
    pub fn catch_up(&mut self, ground: &Ground, part: usize, lineage: &Lineage, deed: &Deed, now: u64) {
        let mut hands = Vec::new();
        for serial in &lineage.apart {
            hands.extend(ground.processes.get(*serial).into_iter().flat_map(|p| p.made_by.iter().copied()));
        }
        if let (Object::File(path), [Part { id, .. }, ..]) = (&deed.object, &self.parts[part..]) {
            hands.extend(ground.links.hands(id, path));
        }
        hands.dedup();
        for hand in hands {
            let theirs = ground.processes.lineage(hand, now);
            self.acts_of(ground, part, &theirs, hand);
        }
        for (at, serial) in lineage.apart.iter().enumerate() {
            let theirs = Lineage { apart: lineage.apart[at..].to_vec(), ..lineage.clone() };
            self.acts_of(ground, part, &theirs, *serial);
        }
    }

    fn acts_of(&mut self, ground: &Ground, part: usize, lineage: &Lineage, serial: Serial) {
        if let Some(at) = self.story.process(&ground.processes, part, lineage) {
            self.story.catch_up(at, serial, &ground.acts);
        }
    }

    /// Draws what an alarm speaks of.
    pub fn draw(&mut self, ground: &Ground, part: usize, lineage: &Lineage, deed: &Deed, time: u64) {
        let Some(at) = self.story.process(&ground.processes, part, lineage) else { return };
        // What was drawn with all that the process did is not counted twice.
        let count = u64::from(!deed.telling || lineage.apart.is_empty());
        let act =
            Act { kind: deed.kind.clone(), object: deed.object.clone(), failed: deed.failed, time, count };
        self.story.alarmed(at, &act);
    }

    /// Draws connections between the containers that take part.
    pub fn connect(&mut self, ground: &Ground, now: u64) {
        if self.parts.len() < 2 {
            return;
        }
        for connection in ground.links.connections(now) {
            let part = self.parts.iter().position(|part| part.id == connection.server_container);
            let (Some(from), Some(part)) = (self.story.find(connection.client), part) else { continue };
            let lineage = ground.processes.lineage(connection.server, now);
            if let Some(to) = self.story.process(&ground.processes, part, &lineage) {
                let (kind, time) = ("connected".into(), connection.time);
                let act = Act { kind, object: Object::Nothing, failed: false, time, count: 1 };
                self.story.tie_once(from, to, &act);
            }
        }
    }

    pub fn merge(&mut self, mut other: Self) {
        let parts: Vec<usize> = other.parts.drain(..).map(|part| self.take_part(part)).collect();
        for mut alarm in other.alarms {
            alarm.container = parts.get(alarm.container).copied().unwrap_or(0);
            self.alarms.push(alarm);
        }
        self.shed();
        self.story.merge(other.story, &parts);
        self.weight.merge(other.weight);
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
        self.total += other.total;
        self.left_out += other.left_out;
    }

    fn take_part(&mut self, part: Part) -> usize {
        let Some(at) = self.parts.iter().position(|known| known.id == part.id) else {
            if self.parts.len() >= CONTAINERS {
                self.left_out += 1;
                return CONTAINERS - 1;
            }
            self.parts.push(part);
            return self.parts.len() - 1;
        };
        let known = &mut self.parts[at];
        (known.outside, known.inside) = (known.outside.max(part.outside), known.inside.max(part.inside));
        known.lost = (known.lost.0.min(part.lost.0), known.lost.1.max(part.lost.1));
        known.by_base |= part.by_base;
        known.branches.extend(part.branches);
        known.branches.dedup();
        known.branches.truncate(BRANCHES);
        at
    }

    pub fn is_told(&self) -> bool {
        self.said.is_some()
    }

    /// Whether it was told and a rule speaks of that container in it. In many that an attack only touches (a scan's aims), what is
    /// new is what always is new somewhere.
    pub fn is_told_of(&self, container: &str) -> bool {
        let of_it = |alarm: &Kept| self.parts.get(alarm.container).is_some_and(|part| &*part.id == container);
        self.is_told() && self.alarms.iter().any(|alarm| alarm.is_weighty() && of_it(alarm))
    }

    pub fn is_telling(&self) -> bool {
        self.weight.is_enough(TELLING)
    }

    /// Whether it is to be told now: for the first time, or since there is more to it.
    pub fn speaks(&self, now: u64) -> bool {
        let Some(said) = self.said else { return self.is_telling() };
        let severer = self.weight.severity() > said.severity;
        let more = self.weight.score() >= said.score * 1.5
            || self.weight.tactics() > said.tactics
            || self.total >= said.alarms.saturating_mul(10);
        severer || more && now >= said.time + PAUSE
    }

    pub fn said(&mut self, now: u64) {
        self.said = Some(Said {
            time: now,
            severity: self.weight.severity(),
            score: self.weight.score(),
            tactics: self.weight.tactics(),
            alarms: self.total,
        });
    }

    /// Bytes.
    pub fn memory(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| size_of::<Part>() + part.name.len() + 200).sum();
        let alarms: usize = self.alarms.iter().map(Kept::memory).sum();
        size_of::<Self>() + parts + alarms + self.weight.memory() + self.story.memory() + 256
    }
}
