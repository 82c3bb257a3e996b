//! What tracers say of their events, as far as rules and profiles ask: the part of `GET /v1/tracers` that is the same on each
//! kernel. The alert layer has that of the shipped tracers in it.

use serde_json::json;

use crate::tracer::Description;
use crate::tracer::contract::{EventDescription, FieldDescription};

/// An array of tracers, a field a line, so that a change can be read.
pub fn document(all: &[Description]) -> String {
    let with_events = all.iter().filter(|d| !d.events.is_empty());
    let tracers: Vec<String> = with_events.map(tracer).collect();
    format!("[\n{}\n]\n", tracers.join(",\n"))
}

fn tracer(d: &Description) -> String {
    let events: Vec<String> = d.events.iter().map(event).collect();
    format!("{{\"name\": {}, \"events\": [\n{}\n]}}", json!(d.name), events.join(",\n"))
}

fn event(e: &EventDescription) -> String {
    let report =
        e.report.as_ref().map_or_else(String::new, |report| format!("\"report\": {}, ", json!(report)));
    let fields: Vec<String> = e.fields.iter().map(field).collect();
    format!("  {{\"name\": {}, {report}\"fields\": [\n{}\n  ]}}", json!(e.name), fields.join(",\n"))
}

fn field(f: &FieldDescription) -> String {
    let (name, kind) = (json!(f.name), json!(f.kind));
    let marks = [(f.feature, ", \"feature\": true"), (f.optional, ", \"optional\": true")];
    let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    format!("    {{\"name\": {name}, \"type\": {kind}{marks}}}")
}
