//! A container, with the profile that its events go to.

use super::entry::Who;
use super::hash;
use super::one::{Phase, Profile};
use crate::time::SECOND;

/// A container's start-up.
const START: u64 = 60 * SECOND;

#[derive(Debug, Clone)]
pub struct Seat {
    pub profile: usize,
    pub hash: u64,
    started: u64,
    pub last: u64,
    pub ended: Option<u64>,
    /// Of its start-up.
    pub events: u64,
    pub new: u64,
    is_steady: bool,
}

impl Seat {
    pub fn new(profile: usize, container: &str, started: u64) -> Self {
        let hash = hash::of(container.as_bytes());
        let (ended, events, new, is_steady) = (None, 0, 0, false);
        Self { profile, hash, started, last: started, ended, events, new, is_steady }
    }

    pub fn who(&self) -> Who {
        // Each bit of the hash counts.
        ((self.hash ^ self.hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as Who
    }

    pub fn phase(&self) -> Phase {
        if self.is_steady { Phase::Steady } else { Phase::StartUp }
    }

    /// Closes its start-up if that is over.
    pub fn settle(&mut self, profile: &mut Profile, time: u64) {
        if !self.is_steady && time.saturating_sub(self.started) >= START {
            self.run(profile, time);
        }
    }

    pub fn end(&mut self, profile: &mut Profile, time: u64) {
        if !self.is_steady {
            self.run(profile, time);
        }
        profile.alive.remove(&self.who());
    }

    fn run(&mut self, profile: &mut Profile, time: u64) {
        self.is_steady = true;
        if !profile.pinned && self.events > 0 {
            profile.phases[Phase::StartUp as usize].course.run(time, self.events, self.new);
        }
    }
}
