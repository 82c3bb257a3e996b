//! Which processes stand between one and what its container does all day.

use super::{Origin, Process, Processes, Serial};
use crate::time::SECOND;

/// Ancestors looked at: θ.
pub const GENERATIONS: usize = 16;
/// What the container's first process starts so soon, and keeps running for so long, is part of what it is for, unless an
/// alarm spoke of it.
const START_UP: u64 = 10 * SECOND;
const SETTLED: u64 = 60 * SECOND;

/// A process and its ancestors, up to where the container's own work begins: its first process, the copies that it makes
/// of itself, and the services that it starts first. What these have in common says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The process first; empty if it is one that does the container's own work.
    pub apart: Vec<Serial>,
    /// The nearest one that does the container's own work.
    pub base: Option<Serial>,
    /// Somebody outside began it.
    pub outside: bool,
}

impl Lineage {
    /// The process in question.
    pub fn own(&self) -> Option<Serial> {
        self.apart.first().copied().or(self.base)
    }

    /// Whose child does the container's own work, or is from outside.
    pub fn branch(&self) -> Option<Serial> {
        self.apart.last().copied()
    }
}

impl Processes {
    pub fn lineage(&self, serial: Serial, now: u64) -> Lineage {
        let ancestors = self.ancestors(serial);
        let mut base = ancestors.len();
        for (at, &serial) in ancestors.iter().enumerate().rev() {
            let parent = (at + 1 < ancestors.len()).then_some(base == at + 1);
            match self.get(serial) {
                Some(process) if self.is_base(process, parent, now) => base = at,
                _ => break,
            }
        }
        let top = ancestors.last().and_then(|top| self.get(*top));
        Lineage {
            apart: ancestors[..base].to_vec(),
            base: ancestors.get(base).copied(),
            outside: top.is_some_and(|top| top.origin == Origin::Outside),
        }
    }

    /// Whether it does the container's own work, given whether its parent does.
    fn is_base(&self, process: &Process, parent: Option<bool>, now: u64) -> bool {
        match (process.origin, parent) {
            (Origin::Main, _) => true,
            (Origin::Unknown, None) => !process.executed(),
            (_, Some(true)) => !process.executed() || self.is_service(process, now),
            _ => false,
        }
    }

    fn is_service(&self, process: &Process, now: u64) -> bool {
        let first = self.container(&process.container).map_or(0, |c| c.first);
        let kept = now >= process.began + SETTLED && process.ended.is_none();
        process.began <= first + START_UP && kept && !process.mark.is_some_and(|mark| mark.direct)
    }

    /// Whether its program, or that of which it is a copy, was a novelty.
    pub fn is_novel(&self, serial: Serial) -> bool {
        let mut line = self.ancestors(serial).into_iter().filter_map(|serial| self.get(serial));
        line.find(|process| process.executed()).is_some_and(|process| process.is_novel)
    }

    /// Itself first.
    pub fn ancestors(&self, serial: Serial) -> Vec<Serial> {
        let up = |serial: &Serial| self.get(*serial)?.parent.filter(|parent| self.get(*parent).is_some());
        std::iter::successors(Some(serial), up).take(GENERATIONS).collect()
    }

    /// Names of the programs of its nearest ancestors, itself first: what was done by the same kind of lineage.
    pub fn signature(&self, serial: Serial) -> Vec<&str> {
        let of = |serial: Serial| self.get(serial).filter(|process| process.executed());
        self.ancestors(serial).into_iter().filter_map(of).map(Process::name).take(4).collect()
    }
}
