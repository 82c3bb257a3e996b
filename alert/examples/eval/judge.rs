//! What was heard of the engine, and what of it speaks of what.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use remora_alert::alarm::Alarm;
use remora_alert::engine::{Match, Told};
use remora_alert::event::Event;
use remora_alert::incident::Incident;
use remora_alert::time::{self, SECOND};
use serde_json::{Map, Value};

use crate::labels::{Recording, Step, ns};

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

/// When what it was told for happened; what it was folded with may have happened long before.
pub fn time_of(alarm: &Alarm) -> u64 {
    at(&alarm.last)
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

/// What harmless acts raise in containers of an image that nobody attacked: what was said, and of which program.
#[derive(Debug, Default)]
pub struct Habits<'h>(HashSet<(&'h str, &'h [String], &'h str)>);

impl<'h> Habits<'h> {
    pub fn of(recording: &'h Recording, heard: &'h Heard) -> Self {
        let harmless = heard.raw.iter().filter(|r| !recording.is_attacked(&r.container, r.time));
        Self(harmless.map(|raw| Self::key(recording, raw)).collect())
    }

    fn key(recording: &'h Recording, raw: &'h Raw) -> (&'h str, &'h [String], &'h str) {
        let image = recording.container(&raw.container).map_or("", |c| &c.image);
        let comm = raw.event.get("process").and_then(|p| p["comm"].as_str());
        (image, &raw.rules, comm.unwrap_or_default())
    }

    /// A harmless act went on there at the time, and such acts are alarmed of like that.
    pub fn explain(&self, recording: &'h Recording, raw: &'h Raw) -> bool {
        let acts = recording.acts(recording.name_of(&raw.container), raw.time).next().is_some();
        acts && self.0.contains(&Self::key(recording, raw))
    }
}

pub fn step<'h>(recording: &'h Recording, heard: &'h Heard, habits: &Habits<'h>, step: &Step) -> Seen {
    let (from, to) = (ns(step.from).saturating_sub(SLACK / 5), ns(step.to) + SLACK);
    let here =
        |raw: &&Raw| (from..=to).contains(&raw.time) && recording.name_of(&raw.container) == step.container;
    let raw: Vec<_> = heard.raw.iter().filter(here).filter(|raw| !habits.explain(recording, raw)).collect();
    let incident = raw.iter().any(|r| heard.incidents_of(r).next().is_some());
    Seen { raw: !raw.is_empty(), incident }
}
