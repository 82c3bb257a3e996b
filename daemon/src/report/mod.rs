//! What a container did, in one document: what it executed, opened, connected to, listened on, asked and used, and how
//! complete that is. What an event is in it, its tracer says (`REMORA_REPORT`); events are added up by their features.

mod processes;
mod sections;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::history::{Account, Metric, Table};
use crate::registry::record::View;
use crate::tracer::contract::EventDescription;
use crate::tracer::view::TracerView;

use processes::Processes;
pub use processes::{Command, Process};
use sections::Sections;
pub use sections::{Entry, Section};

/// Where the events of a report are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The history, and what came since.
    History,
    /// What the daemon still has in memory.
    Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Who it is, and its ledger.
    pub container: View,
    pub source: Source,
    /// Events that the report adds up.
    pub events: u64,
    /// Time of the first of them; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// How often events of it may be missing between those: they were forgotten before they were asked for.
    pub gaps: u64,
    pub processes: Vec<Process>,
    /// Processes that are not shown.
    pub more_processes: u64,
    pub sections: Vec<Section>,
    pub tables: Vec<Table>,
    pub metrics: Vec<Metric>,
}

/// What tracers say of an event.
#[derive(Debug)]
struct Meaning {
    role: Option<String>,
    help: String,
    features: Vec<String>,
    /// Paths at which an error is told.
    errors: Vec<String>,
}

impl From<&EventDescription> for Meaning {
    fn from(event: &EventDescription) -> Self {
        let paths = |is: fn(&&crate::tracer::contract::FieldDescription) -> bool| {
            event.fields.iter().filter(is).map(|f| f.name.clone()).collect()
        };
        Self {
            role: event.report.clone(),
            help: event.help.clone(),
            features: paths(|f| f.feature),
            errors: paths(|f| f.kind == "errno"),
        }
    }
}

/// Adds up events, one after the other.
#[derive(Debug)]
pub struct Builder {
    /// By tracer and event.
    meanings: HashMap<(String, String), Meaning>,
    events: u64,
    first: Option<String>,
    gaps: u64,
    processes: Processes,
    sections: Sections,
}

impl Builder {
    pub fn new(tracers: &[TracerView]) -> Self {
        let of = |t: &TracerView| {
            let tracer = t.description.name.clone();
            let one = move |e: &EventDescription| ((tracer.clone(), e.name.clone()), Meaning::from(e));
            t.description.events.iter().map(one).collect::<Vec<_>>()
        };
        Self {
            meanings: tracers.iter().flat_map(of).collect(),
            events: 0,
            first: None,
            gaps: 0,
            processes: Processes::default(),
            sections: Sections::default(),
        }
    }

    pub fn gap(&mut self) {
        self.gaps += 1;
    }

    /// Adds an event, as its line is.
    pub fn event(&mut self, line: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Json>(line) else { return };
        let text = |path: &str| text(&event, path);
        let (time, tracer, name) = (text("time"), text("event.tracer"), text("event.name"));
        self.events += 1;
        self.first.get_or_insert_with(|| time.clone());
        let key = (tracer, name);
        let meaning = self.meanings.get(&key);
        match meaning.and_then(|m| m.role.as_deref()) {
            Some("executed") => self.processes.executed(&event, time),
            Some("ended") => self.processes.ended(&event, &key.1, time),
            role => {
                let role = role.unwrap_or("else").to_owned();
                let (features, errors, help) =
                    meaning.map_or((&[][..], &[][..], ""), |m| (&m.features, &m.errors, &m.help));
                let values: Vec<(String, Json)> = features
                    .iter()
                    .filter_map(|path| Some((path.clone(), at(&event, path)?.clone())))
                    .collect();
                let error = errors.iter().find_map(|path| at(&event, path)?.as_str()).map(str::to_owned);
                self.sections.add(role, &key.1, help, values, error, time);
            }
        }
    }

    pub fn finish(self, account: Account, source: Source) -> Report {
        let (processes, more_processes) = self.processes.finish();
        Report {
            container: account.container,
            source,
            events: self.events,
            first: self.first,
            gaps: self.gaps,
            processes,
            more_processes,
            sections: self.sections.finish(),
            tables: account.tables.into_iter().filter(|t| !t.rows.is_empty()).collect(),
            metrics: account.metrics,
        }
    }
}

/// The value at a dotted path.
pub fn at<'e>(event: &'e Json, path: &str) -> Option<&'e Json> {
    path.split('.').try_fold(event, |v, key| v.get(key))
}

fn text(event: &Json, path: &str) -> String {
    at(event, path).and_then(Json::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
