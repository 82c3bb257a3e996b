//! Incidents as log records: what a list has of each, and its text as the body.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use remora_alert::alarm::Severity;
use remora_alert::incident::Incident;
use remora_alert::time;
use remora_wire::time::unix_ns;
use serde_json::{Map, Value as Json};

use super::{logs::flatten, resource, scope};

pub fn request<'a>(all: impl Iterator<Item = &'a str>) -> ExportLogsServiceRequest {
    let parsed = all.filter_map(|body| serde_json::from_str::<Incident>(body).ok());
    ExportLogsServiceRequest { resource_logs: parsed.map(one).collect() }
}

/// Its resource is the container that it began in.
fn one(mut incident: Incident) -> ResourceLogs {
    let whom = if incident.subjects.is_empty() { Map::new() } else { incident.subjects.remove(0) };
    let mut attributes = Vec::new();
    flatten(Json::Object(whom), String::new(), &mut attributes);
    let scope_logs =
        ScopeLogs { scope: Some(scope()), log_records: vec![record(incident)], ..ScopeLogs::default() };
    ResourceLogs {
        resource: Some(resource(attributes)),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    }
}

fn record(incident: Incident) -> LogRecord {
    let (number, text) = match incident.severity {
        Severity::Info => (SeverityNumber::Info, "INFO"),
        Severity::Low => (SeverityNumber::Info2, "INFO2"),
        Severity::Medium => (SeverityNumber::Warn, "WARN"),
        Severity::High => (SeverityNumber::Error, "ERROR"),
        Severity::Critical => (SeverityNumber::Error4, "ERROR4"),
    };
    let body = Value::StringValue(incident.text.clone());
    let time_unix_nano = time::parse(&incident.last).unwrap_or_default();
    let mut members = match serde_json::to_value(incident) {
        Ok(Json::Object(members)) => members,
        _ => Map::new(),
    };
    for whole in ["text", "subjects", "alarms", "graph", "timeline"] {
        members.remove(whole);
    }
    let mut attributes = Vec::new();
    flatten(Json::Object(members), "incident".to_owned(), &mut attributes);
    LogRecord {
        time_unix_nano,
        observed_time_unix_nano: unix_ns(),
        severity_number: number.into(),
        severity_text: text.to_owned(),
        body: Some(AnyValue { value: Some(body) }),
        event_name: "remora.incident".to_owned(),
        attributes,
        ..LogRecord::default()
    }
}
