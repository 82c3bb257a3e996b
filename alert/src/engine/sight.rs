//! An event as all that look at it need it, found out once.

use crate::alarm::raw::Raw;
use crate::alarm::{Actor, Kind, Severity};
use crate::behaviour::Behaviour;
use crate::event::Event;
use crate::incident::{Deed, Ground};
use crate::meaning::EventMeaning;
use crate::process::{Lineage, Serial, Step};
use crate::profile::{NOVEL, Novelty};
use crate::rules::Rule;
use crate::shown;

/// Characters of an alarm's summary.
const SUMMARY: usize = 400;
/// From here on a novelty is more than a low alarm.
const MEDIUM: f64 = 4.0;
/// A novelty alone is not told.
const NOVELTY: f64 = 9.0;

#[derive(Debug)]
pub struct Sight {
    pub deed: Deed,
    pub serial: Option<Serial>,
    pub lineage: Lineage,
    pub behaviour: Option<Behaviour>,
}

impl Sight {
    pub fn of(event: &Event, meaning: Option<&EventMeaning>, ground: &mut Ground) -> Self {
        let deed = Deed::of(event, meaning);
        let step = meaning.map_or(Step::Other, |meaning| Step::of(&meaning.class));
        let (serial, lineage) = ground.note(event, step, &deed);
        let behaviour = meaning.and_then(|meaning| Behaviour::of(event, meaning));
        Self { deed, serial, lineage, behaviour }
    }

    pub fn matched<'e>(&self, event: &'e Event, rule: &Rule, ground: &Ground) -> Raw<'e> {
        let attribute = match &self.behaviour {
            Some(behaviour) => behaviour.attribute(),
            None => self.deed.object.to_string(),
        };
        Raw {
            rule: rule.id.to_string(),
            severity: rule.severity,
            score: rule.severity.score(),
            summary: shown::line(&rule.told(event), SUMMARY),
            tags: rule.tags.clone(),
            attribute,
            ..self.raw(event, ground)
        }
    }

    pub fn novel<'e>(&self, event: &'e Event, novelty: &Novelty, ground: &Ground) -> Raw<'e> {
        Raw {
            kind: Kind::Novelty,
            rule: format!("{NOVEL}{}", novelty.class),
            severity: if novelty.score >= MEDIUM { Severity::Medium } else { Severity::Low },
            score: novelty.score.clamp(0.0, NOVELTY),
            summary: shown::line(&novelty.why, SUMMARY),
            attribute: [&*novelty.operation, &novelty.role, &novelty.attribute].join(" "),
            pinned: novelty.pinned,
            ..self.raw(event, ground)
        }
    }

    fn raw<'e>(&self, event: &'e Event, ground: &Ground) -> Raw<'e> {
        let process = self.serial.and_then(|serial| ground.processes.get(serial));
        let signature = self.serial.map(|serial| ground.processes.signature(serial)).unwrap_or_default();
        Raw {
            kind: Kind::Rule,
            rule: String::new(),
            severity: Severity::Info,
            score: 0.0,
            summary: String::new(),
            pinned: false,
            tags: Vec::new(),
            event,
            actor: process.map_or_else(Actor::default, |process| process.actor(event)),
            attribute: String::new(),
            lineage: signature.into_iter().map(str::to_owned).collect(),
        }
    }
}
