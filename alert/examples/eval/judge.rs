//! What was heard of the engine, and what of it speaks of what.

use std::collections::{BTreeMap, BTreeSet};

use remora_alert::alarm::Alarm;
use remora_alert::engine::{Match, Told};
use remora_alert::event::Event;
use remora_alert::incident::Incident;
use remora_alert::time::{self, SECOND};
use serde_json::{Map, Value};

use crate::labels::{Attack, Recording, Step, ns};

/// What a step has started may come a little later.
const SLACK: u64 = SECOND / 2;

/// An event that raised an alarm, told or not.
#[derive(Debug)]
pub struct Raw {
    pub container: String,
    pub time: u64,
    /// None: a novelty.
    pub rules: Vec<String>,
    pub event: Map<String, Value>,
}

#[derive(Debug, Default)]
pub struct Heard {
    pub raw: Vec<Raw>,
    pub alarms: Vec<Alarm>,
    /// As last told, by id.
    pub incidents: BTreeMap<String, Incident>,
}

fn id(subject: &Map<String, Value>) -> &str {
    subject.get("container").and_then(|c| c["id"].as_str()).unwrap_or_default()
}

fn at(text: &str) -> u64 {
    time::parse(text).unwrap_or(0)
}

impl Heard {
    pub fn raw(&mut self, event: &Event, matches: &[Match]) {
        let rules = matches.iter().map(|m| m.rule.to_string()).collect();
        let (container, time) = (event.container().to_owned(), event.time());
        self.raw.push(Raw { container, time, rules, event: event.json().clone() });
    }

    pub fn told(&mut self, told: Told) {
        match told {
            Told::Alarm(alarm) => self.alarms.push(*alarm),
            Told::Incident(incident) => {
                self.incidents.insert(incident.id.clone(), *incident);
            }
        }
    }

    /// The incidents that have a raw alarm in them: its container takes part, and it lies in their time.
    pub fn incidents_of<'h>(&'h self, raw: &'h Raw) -> impl Iterator<Item = &'h Incident> {
        let within = |i: &&Incident| at(&i.first) <= raw.time && raw.time <= at(&i.last);
        self.incidents.values().filter(within).filter(|i| i.subjects.iter().any(|s| id(s) == raw.container))
    }
}

/// The container whose alarm it is.
pub fn container_of(alarm: &Alarm) -> &str {
    id(&alarm.subject)
}

pub fn first_of(alarm: &Alarm) -> u64 {
    at(&alarm.first)
}

/// Nothing in it is an attack's.
pub fn is_false(recording: &Recording, incident: &Incident) -> bool {
    !incident.alarms.iter().any(|a| recording.is_attacked(container_of(a), at(&a.last) + SLACK))
}

pub fn sides(incident: &Incident) -> BTreeSet<&str> {
    incident.subjects.iter().map(id).collect()
}

/// What came of a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub raw: bool,
    pub incident: bool,
}

pub fn step(recording: &Recording, heard: &Heard, step: &Step) -> Seen {
    let (from, to) = (ns(step.from).saturating_sub(SLACK / 5), ns(step.to) + SLACK);
    let here = |container: &str| recording.name_of(container) == step.container;
    // What a harmless session did at the same time, in the same container, may be what was alarmed of.
    let surely = |raw: &&Raw| recording.acts(&step.container, raw.time).all(|act| act.what == "update");
    let of_step =
        heard.raw.iter().filter(|r| (from..=to).contains(&r.time) && here(&r.container)).filter(surely);
    let raw: Vec<_> = of_step.collect();
    let incident = raw.iter().any(|r| heard.incidents_of(r).next().is_some());
    Seen { raw: !raw.is_empty(), incident }
}

/// The incidents that a step of it is part of.
pub fn detected(recording: &Recording, heard: &Heard, attack: &Attack) -> Vec<Seen> {
    attack.steps.iter().map(|s| step(recording, heard, s)).collect()
}
