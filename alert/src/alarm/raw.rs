//! An alarm as it comes up, before it is known whether it is one of many.

use serde_json::{Map, Value};

use super::digest::{digest, id};
use super::{Actor, Alarm, Kind, Severity};
use crate::event::Event;
use crate::process::subject;
use crate::shown;
use crate::time;

/// Bytes of an event that an alarm keeps whole.
const WHOLE: usize = 4096;
/// Characters that are left of its texts where it is larger.
const TEXT: usize = 200;

#[derive(Debug, Clone)]
pub struct Raw<'e> {
    pub kind: Kind,
    pub rule: String,
    pub severity: Severity,
    pub score: f64,
    pub summary: String,
    pub tags: Vec<String>,
    pub event: &'e Event,
    pub actor: Actor,
    /// What was done and to what, so far as it makes a difference.
    pub attribute: String,
    /// Programs of the process and its ancestors.
    pub lineage: Vec<String>,
    /// It is against a profile that somebody pinned.
    pub pinned: bool,
}

impl Raw<'_> {
    /// Alarms of one family are repetitions of each other, in whichever container of the image.
    pub fn family(&self) -> u128 {
        let lineage = self.lineage.join("\0");
        digest(&[self.event.image(), self.event.role(), &self.rule, &self.attribute, &lineage])
    }

    /// Whether it is told by itself, rather than with an incident: what is low or a habit is not, and novelties are only where
    /// somebody pinned what is to be.
    pub fn is_telling(&self) -> bool {
        (self.kind == Kind::Rule || self.pinned) && self.severity.weighs(self.score)
    }

    pub fn id(&self) -> String {
        let (time, pid) = (self.event.time().to_string(), self.actor.pid.to_string());
        id('a', &[self.event.container(), &self.rule, &self.attribute, &time, &pid])
    }

    pub fn alarm(&self) -> Alarm {
        let time = time::format(self.event.time());
        Alarm {
            id: self.id(),
            kind: self.kind,
            rule: self.rule.clone(),
            severity: self.severity,
            score: self.score,
            summary: self.summary.clone(),
            tags: self.tags.clone(),
            first: time.clone(),
            last: time,
            count: 1,
            subject: subject(self.event),
            process: self.actor.clone(),
            event: kept(self.event.json()),
            incident: None,
        }
    }
}

/// The event, with its texts cut if it is a large one.
pub fn kept(event: &Map<String, Value>) -> Map<String, Value> {
    let size = |event: &Map<String, Value>| serde_json::to_vec(event).map_or(0, |json| json.len());
    let mut event = event.clone();
    if size(&event) > WHOLE {
        event.values_mut().for_each(shorten);
    }
    // What still is too large has many members: those that no tracer of a container chose stay.
    if size(&event) > WHOLE {
        event.retain(|member, _| matches!(member.as_str(), "time" | "event"));
    }
    event
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT => {
            text.truncate(shown::cut(text, TEXT).len());
            text.push('…');
        }
        Value::Array(all) => {
            all.truncate(16);
            all.iter_mut().for_each(shorten);
        }
        Value::Object(all) => all.values_mut().for_each(shorten),
        _ => {}
    }
}
