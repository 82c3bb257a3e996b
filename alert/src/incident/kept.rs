//! An alarm as an incident keeps it: its event as bytes, which take a fifth of what the members do.

use serde_json::{Map, Value};

use crate::alarm::raw::{Raw, kept};
use crate::alarm::{Actor, Alarm, Kind, Severity};
use crate::time;

#[derive(Debug, Clone)]
pub struct Kept {
    pub id: Box<str>,
    pub family: u128,
    pub kind: Kind,
    pub rule: Box<str>,
    pub severity: Severity,
    pub score: f64,
    pub summary: Box<str>,
    pub tags: Vec<String>,
    pub first: u64,
    pub last: u64,
    pub count: u64,
    /// Number of its container in the incident.
    pub container: usize,
    pub actor: Actor,
    event: Box<[u8]>,
}

impl Kept {
    pub fn new(raw: &Raw<'_>, family: u128, container: usize) -> Self {
        let time = raw.event.time();
        Self {
            id: raw.id().into(),
            family,
            kind: raw.kind,
            rule: raw.rule.as_str().into(),
            severity: raw.severity,
            score: raw.score,
            summary: raw.summary.as_str().into(),
            tags: raw.tags.clone(),
            first: time,
            last: time,
            count: 1,
            container,
            actor: raw.actor.clone(),
            event: serde_json::to_vec(&kept(raw.event.json())).unwrap_or_default().into(),
        }
    }

    /// Whether a rule speaks, and not only lowly.
    pub fn is_weighty(&self) -> bool {
        self.kind == Kind::Rule && self.severity.weighs(self.score)
    }

    pub fn again(&mut self, time: u64) {
        self.count += 1;
        self.last = self.last.max(time);
    }

    pub fn alarm(&self, subject: &Map<String, Value>, incident: &str) -> Alarm {
        Alarm {
            id: self.id.to_string(),
            kind: self.kind,
            rule: self.rule.to_string(),
            severity: self.severity,
            score: self.score,
            summary: self.summary.to_string(),
            tags: self.tags.clone(),
            first: time::format(self.first),
            last: time::format(self.last),
            count: self.count,
            subject: subject.clone(),
            process: self.actor.clone(),
            event: serde_json::from_slice(&self.event).unwrap_or_default(),
            incident: Some(incident.to_owned()),
        }
    }

    pub fn memory(&self) -> usize {
        let texts: usize = self.tags.iter().chain(&self.actor.command_args).map(|text| text.len() + 40).sum();
        let actor = self.actor.comm.len() + self.actor.executable.len();
        size_of::<Self>() + self.event.len() + self.summary.len() + texts + actor + self.rule.len() + 96
    }
}
