//! Events in, what is worth telling out.

use serde::{Deserialize, Serialize};

use crate::alarm::Alarm;
use crate::event::Event;
use crate::incident::Incident;
use crate::meaning::Meanings;
use crate::profile::Profiles;
use crate::rules::Rules;
use crate::time::SECOND;

/// Times are in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// An incident that nothing was added to for so long is over.
    pub window: u64,
    /// What a profile must have seen, at least, before it is believed.
    pub learn: u64,
    /// Bytes for everything together, counted as well as that is possible.
    pub memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: 15 * 60 * SECOND, learn: 3600 * SECOND, memory: 24 << 20 }
    }
}

/// What is told, in the order in which it came to be. Told again under the same id when more is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Alarm(Box<Alarm>),
    Incident(Box<Incident>),
}

/// Counted since the engine began.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    pub events: u64,
    /// By rule, and for each the containers (id) it spoke of: matches. Of containers that ended as long as these are linger.
    pub alarms_raw: u64,
    /// After repetitions were folded.
    pub alarms: u64,
    pub suppressed: u64,
    pub incidents: u64,
    /// What was forgotten for want of room, by what it was.
    pub evicted: std::collections::BTreeMap<&'static str, u64>,
    pub open_incidents: u64,
    pub memory: usize,
}

/// One match of a rule, for counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub rule: std::sync::Arc<str>,
    pub container: std::sync::Arc<str>,
}

#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    rules: Rules,
    meanings: Meanings,
    profiles: Profiles,
    told: Vec<Told>,
    matches: Vec<Match>,
    counts: Counts,
}

impl Engine {
    pub fn new(settings: Settings, rules: Rules, meanings: Meanings) -> Self {
        let (profiles, told, matches, counts) = Default::default();
        Self { settings, rules, meanings, profiles, told, matches, counts }
    }

    /// Of the same rules what they counted stays.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn set_meanings(&mut self, meanings: Meanings) {
        self.meanings = meanings;
    }

    pub fn event(&mut self, _event: &Event) {
        self.counts.events += 1;
    }

    /// Events of that container were lost, as many more as are told.
    pub fn lost(&mut self, _container: &str, _more: u64) {}

    pub fn ended(&mut self, _container: &str, _time: u64) {}

    /// Time goes on, also where nothing happens: about once a second.
    pub fn tick(&mut self, _time: u64) {}

    /// What is to be told since this was last asked.
    pub fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Matches of rules since this was last asked.
    pub fn matches(&mut self) -> Vec<Match> {
        std::mem::take(&mut self.matches)
    }

    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    pub fn profiles_mut(&mut self) -> &mut Profiles {
        &mut self.profiles
    }

    pub fn counts(&self) -> Counts {
        let _ = self.settings;
        self.counts.clone()
    }
}
