//! What was told, for whoever asks: incidents that are open or were lately, the latest alarms, and all of it as it comes.

mod shown;

#[cfg(test)]
pub(super) mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use remora_alert::alarm::{Alarm, Severity};
use remora_alert::engine::Counts;
use remora_alert::incident::{Incident, State};
use remora_alert::rules::Problem;
use remora_wire::time::unix_ns;
use tokio::sync::watch;

pub use shown::{Shown, What};

/// Incidents, alarms, and tellings for those who follow.
const INCIDENTS: usize = 256;
const ALARMS: usize = 1024;
const TOLD: usize = 1024;
/// Of each of these, in bytes.
const ROOM: usize = 2 << 20;

/// Counted since the daemon began, and how things are.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub counts: Counts,
    /// Alarms told, by kind and severity.
    pub alarms: BTreeMap<(&'static str, Severity), u64>,
    pub incidents: BTreeMap<Severity, u64>,
    /// Matches by container and rule.
    pub matches: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Matched>>,
    /// How often events were forgotten before they were looked at.
    pub gaps: u64,
    pub problems: Vec<Problem>,
    /// How many there are, by state.
    pub profiles: BTreeMap<String, u64>,
}

#[derive(Debug, Clone)]
pub struct Matched {
    pub severity: Severity,
    pub times: u64,
}

#[derive(Debug, Clone)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Numbers of another board are void: when this one was made.
    began: u64,
    state: Mutex<Told>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Told {
    /// In the order in which they were told first.
    incidents: VecDeque<Arc<Shown>>,
    alarms: VecDeque<Arc<Shown>>,
    /// All of it, in order.
    told: VecDeque<Arc<Shown>>,
    last: u64,
    figures: Figures,
}

/// What comes behind a number, for one who follows.
#[derive(Debug, Default)]
pub struct Page {
    pub told: Vec<Arc<Shown>>,
    /// The tellings up to this one are gone, and not all of them were had.
    pub missed_to: Option<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self(Arc::new(Inner { began: unix_ns(), state: Mutex::default(), news: watch::channel(0).0 }))
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn alarm(&self, alarm: &Alarm) {
        let shown = Shown::of_alarm(alarm);
        let mut told = self.lock();
        *told.figures.alarms.entry((shown::kind(alarm.kind), alarm.severity)).or_default() += 1;
        let shown = told.number(shown);
        told.alarms.retain(|a| a.id != shown.id);
        told.alarms.push_back(shown.clone());
        bound(&mut told.alarms, ALARMS, |_| true);
        told.follow(shown);
        self.0.news.send_replace(told.last);
    }

    /// Those that it has no room for any more.
    pub fn incident(&self, incident: &Incident) -> Vec<Arc<Shown>> {
        let shown = Shown::of_incident(incident);
        let mut told = self.lock();
        let known = told.incidents.iter().position(|i| i.id == shown.id);
        if known.is_none() {
            *told.figures.incidents.entry(incident.severity).or_default() += 1;
        }
        let shown = told.number(shown);
        match known {
            Some(at) => told.incidents[at] = shown.clone(),
            None => told.incidents.push_back(shown.clone()),
        }
        let gone = bound(&mut told.incidents, INCIDENTS, |i| i.state == Some(State::Over));
        told.follow(shown);
        self.0.news.send_replace(told.last);
        gone
    }

    /// Of an earlier daemon: nothing new.
    pub fn restore(&self, incident: &Incident) {
        let mut told = self.lock();
        let shown = Arc::new(Shown::of_incident(incident));
        told.incidents.push_back(shown);
        bound(&mut told.incidents, INCIDENTS, |i| i.state == Some(State::Over));
    }

    /// The newest first.
    pub fn incidents(&self) -> Vec<Arc<Shown>> {
        self.lock().incidents.iter().rev().cloned().collect()
    }

    pub fn find(&self, id: &str) -> Option<Arc<Shown>> {
        self.lock().incidents.iter().find(|i| i.id == id).cloned()
    }

    /// The newest first.
    pub fn alarms(&self) -> Vec<Arc<Shown>> {
        self.lock().alarms.iter().rev().cloned().collect()
    }

    /// What was told behind a number.
    pub fn after(&self, number: u64) -> Page {
        let told = self.lock();
        let begin = told.told.front().map_or(told.last, |first| first.number - 1);
        let first = told.told.partition_point(|t| t.number <= number);
        let told = told.told.iter().skip(first).cloned().collect();
        Page { told, missed_to: (begin > number).then_some(begin) }
    }

    pub fn began(&self) -> u64 {
        self.0.began
    }

    pub fn newest(&self) -> u64 {
        self.lock().last
    }

    pub fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    pub fn figures(&self) -> Figures {
        self.lock().figures.clone()
    }

    pub fn figure(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.lock().figures);
    }
}

impl Told {
    fn number(&mut self, mut shown: Shown) -> Arc<Shown> {
        self.last += 1;
        shown.number = self.last;
        Arc::new(shown)
    }

    fn follow(&mut self, shown: Arc<Shown>) {
        self.told.push_back(shown);
        bound(&mut self.told, TOLD, |_| true);
    }
}

/// Takes the oldest away that may go first, and then the oldest.
fn bound(all: &mut VecDeque<Arc<Shown>>, most: usize, first: fn(&Shown) -> bool) -> Vec<Arc<Shown>> {
    let mut bytes: usize = all.iter().map(|s| s.size()).sum();
    let mut gone = Vec::new();
    while all.len() > most || bytes > ROOM && all.len() > 1 {
        let at = all.iter().position(|s| first(s)).unwrap_or(0);
        let Some(shown) = all.remove(at) else { break };
        bytes -= shown.size();
        gone.push(shown);
    }
    gone
}
