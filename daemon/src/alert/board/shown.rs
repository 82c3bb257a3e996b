//! One telling as it is shown: its JSON made once, and what it is picked by.

use remora_alert::alarm::{Alarm, Kind, Severity};
use remora_alert::incident::{Graph, Incident, State};

use crate::alert::subject;
use crate::decode::text::json_document;
use crate::registry::record::is_meant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Alarm,
    Incident,
}

#[derive(Debug)]
pub struct Shown {
    /// In the order of telling; 0 for what an earlier daemon told.
    pub number: u64,
    pub what: What,
    pub id: String,
    pub severity: Severity,
    /// Of an incident.
    pub state: Option<State>,
    /// Ids and names.
    containers: Vec<(String, String)>,
    /// JSON: all of it, and of an incident what lists have.
    pub whole: String,
    pub brief: String,
}

impl Shown {
    pub fn of_alarm(alarm: &Alarm) -> Self {
        Self {
            number: 0,
            what: What::Alarm,
            id: alarm.id.clone(),
            severity: alarm.severity,
            state: None,
            containers: vec![subject::container(&alarm.subject)],
            whole: json_document(alarm, false),
            brief: String::new(),
        }
    }

    pub fn of_incident(incident: &Incident) -> Self {
        Self {
            number: 0,
            what: What::Incident,
            id: incident.id.clone(),
            severity: incident.severity,
            state: Some(incident.state),
            containers: incident.subjects.iter().map(subject::container).collect(),
            whole: json_document(incident, false),
            brief: json_document(&brief(incident), false),
        }
    }

    pub fn is_of(&self, container: &str) -> bool {
        self.containers.iter().any(|(id, name)| is_meant(container, id, name))
    }

    pub fn size(&self) -> usize {
        self.whole.len() + self.brief.len() + size_of::<Self>()
    }
}

pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Rule => "rule",
        Kind::Novelty => "novelty",
    }
}

/// Without its alarms, graph and timeline.
fn brief(incident: &Incident) -> Incident {
    let mut brief = incident.clone();
    (brief.alarms, brief.timeline, brief.graph) = (Vec::new(), Vec::new(), Graph::default());
    brief
}
