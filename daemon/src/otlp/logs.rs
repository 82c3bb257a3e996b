//! Events as log records. Attributes have the dotted paths of the JSON; what says whom an event is about is its resource.

use std::{collections::VecDeque, path::Path, sync::atomic::Ordering::Relaxed};

use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use prost::Message;
use remora_wire::time::unix_ns;
use serde_json::{Map, Value as Json};

use super::{COLLECTOR, Collector, Figures, Outcome, Patience, pair, resource, scope, text};
use crate::decode::json;
use crate::event::Hub;
use crate::history::{self, Feed, Item, Page};
use crate::outlet::place::{Kept, Place};

/// In one request.
const RECORDS: usize = 512;
const BYTES: usize = 512 << 10;

/// What is sent.
#[derive(Debug, Clone)]
pub struct From {
    pub hub: Hub,
    pub history: Option<history::Handle>,
    /// Of the ring that cursors are of.
    pub epoch: u64,
}

pub async fn run(collector: &Collector, file: &Path, from: From, figures: &Figures) {
    let epoch = from.epoch;
    let mut kept = Kept::read(file);
    let place = kept.place().map(|p| (p.epoch, p.cursor));
    let feed = Feed::resume(from.hub, from.history, place, epoch, None);
    let mut source = Source { feed: feed.by(1), waiting: VecDeque::new(), epoch };
    let mut patience = Patience::new("logs", COLLECTOR, &figures.logs_up, &figures.failures);
    loop {
        let batch = source.next(figures).await;
        let records = batch.iter().filter(|e| !e.gap).count() as u64;
        let last = batch.last().map_or(0, |e| e.cursor);
        let of = batch.last().map_or(epoch, |e| e.epoch);
        let request = request(batch);
        loop {
            let rest = match collector.post("logs", &request).await {
                Outcome::Taken(answer) => {
                    patience.worked();
                    let rejected = rejected(answer);
                    figures.rejected.fetch_add(rejected, Relaxed);
                    figures.sent.fetch_add(records.saturating_sub(rejected), Relaxed);
                    break;
                }
                Outcome::Refused(why) => {
                    figures.refused.fetch_add(records, Relaxed);
                    tracing::warn!("the collector refused {records} events, which are lost to it: {why}");
                    break;
                }
                Outcome::Later(why, asked) => patience.failed(&why, asked),
            };
            tokio::time::sleep(rest).await;
        }
        kept.put(Place { epoch: of, cursor: last }, source.waiting.is_empty());
    }
}

/// How many of the records the collector did not take, which it says why.
fn rejected(answer: hyper::body::Bytes) -> u64 {
    let partial = ExportLogsServiceResponse::decode(answer).ok().and_then(|r| r.partial_success);
    let Some(partial) = partial else { return 0 };
    let rejected = u64::try_from(partial.rejected_log_records).unwrap_or(0);
    if rejected > 0 || !partial.error_message.is_empty() {
        let why: String = partial.error_message.chars().take(200).collect();
        let why = crate::decode::text::printable(&why);
        tracing::warn!("the collector rejected {rejected} events, which are lost to it: {why}");
    }
    rejected
}

/// An event, or what stands for events that are missing.
#[derive(Debug)]
pub struct Entry {
    /// The ring that the cursor is of.
    pub epoch: u64,
    pub cursor: u64,
    pub unix_ns: u64,
    pub line: Vec<u8>,
    pub gap: bool,
}

struct Source {
    feed: Feed,
    waiting: VecDeque<Entry>,
    epoch: u64,
}

impl Source {
    /// The next request's entries, at least one.
    async fn next(&mut self, figures: &Figures) -> Vec<Entry> {
        while self.waiting.is_empty() {
            match self.feed.next().await {
                Some(page) => self.take(page, figures),
                None if self.feed.changed().await => {}
                None => std::future::pending().await,
            }
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < RECORDS && bytes < BYTES {
            let Some(entry) = self.waiting.pop_front() else { break };
            bytes += entry.line.len();
            batch.push(entry);
        }
        batch
    }

    fn take(&mut self, page: Page, figures: &Figures) {
        match page {
            Page::Gap { after, to } => self.gap(self.epoch, after, to, figures),
            Page::Stored(items) => {
                for item in items {
                    match item {
                        Item::Gap { epoch, after, to } => self.gap(epoch, after, to, figures),
                        Item::Event { epoch, cursor, unix_ns, line } => {
                            self.waiting.push_back(Entry { epoch, cursor, unix_ns, line, gap: false });
                        }
                    }
                }
            }
            Page::Kept { batches, after } => {
                let all = batches.iter().flat_map(|b| b.entries.iter().map(move |e| (b, e)));
                for (batch, entry) in all.filter(|(_, e)| e.cursor > after) {
                    let event = batch.event(entry);
                    let mut line = Vec::new();
                    json::event(&mut line, &event);
                    let (cursor, unix_ns) = (entry.cursor, event.unix_ns());
                    self.waiting.push_back(Entry { epoch: self.epoch, cursor, unix_ns, line, gap: false });
                }
            }
        }
    }

    fn gap(&mut self, epoch: u64, after: u64, to: u64, figures: &Figures) {
        figures.gaps.fetch_add(1, Relaxed);
        tracing::warn!("events were forgotten before the collector could be sent them");
        let mut line = Vec::new();
        json::gap(&mut line, after, to);
        self.waiting.push_back(Entry { epoch, cursor: to, unix_ns: unix_ns(), line, gap: true });
    }
}

/// Records by whom they are about.
pub fn request(batch: Vec<Entry>) -> ExportLogsServiceRequest {
    let mut groups: Vec<(Json, Vec<LogRecord>)> = Vec::new();
    for entry in batch {
        let Ok(Json::Object(mut event)) = serde_json::from_slice(&entry.line) else { continue };
        let mut whom = Map::new();
        for key in ["container", "k8s"] {
            whom.extend(event.remove(key).map(|value| (key.to_owned(), value)));
        }
        let (whom, record) = (Json::Object(whom), record(event, entry.unix_ns));
        match groups.iter_mut().find(|(of, _)| *of == whom) {
            Some((_, records)) => records.push(record),
            None => groups.push((whom, vec![record])),
        }
    }
    let group = |(whom, log_records): (Json, Vec<LogRecord>)| {
        let mut attributes = Vec::new();
        flatten(whom, String::new(), &mut attributes);
        let scope_logs = ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() };
        ResourceLogs {
            resource: Some(resource(attributes)),
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        }
    };
    ExportLogsServiceRequest { resource_logs: groups.into_iter().map(group).collect() }
}

fn record(mut event: Map<String, Json>, unix_ns: u64) -> LogRecord {
    let is_gap = event.contains_key("gap");
    // The time has a place of its own, and so has the name.
    event.remove("time");
    let own = event.get_mut("event").and_then(Json::as_object_mut);
    let name = own.and_then(|e| e.remove("name")).and_then(|n| n.as_str().map(str::to_owned));
    let mut attributes = Vec::new();
    flatten(Json::Object(event), String::new(), &mut attributes);
    let severity = if is_gap { SeverityNumber::Warn } else { SeverityNumber::Info };
    let body = "events are missing here: they were forgotten before they could be sent";
    LogRecord {
        time_unix_nano: unix_ns,
        observed_time_unix_nano: self::unix_ns(),
        severity_number: severity.into(),
        severity_text: if is_gap { "WARN" } else { "INFO" }.to_owned(),
        body: is_gap.then(|| AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        event_name: if is_gap { "gap".to_owned() } else { name.unwrap_or_default() },
        attributes,
        ..LogRecord::default()
    }
}

/// Nested members at their dotted paths.
pub(super) fn flatten(value: Json, path: String, out: &mut Vec<KeyValue>) {
    match value {
        Json::Object(members) => {
            for (key, value) in members {
                flatten(value, if path.is_empty() { key } else { format!("{path}.{key}") }, out);
            }
        }
        Json::String(value) => out.push(text(&path, value)),
        value => out.extend(any(value).map(|value| pair(&path, value))),
    }
}

fn any(value: Json) -> Option<Value> {
    Some(match value {
        Json::Bool(value) => Value::BoolValue(value),
        Json::String(value) => Value::StringValue(value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::IntValue(value),
            // Larger than OTLP's integers: as text it is still exact.
            None if number.is_u64() => Value::StringValue(number.to_string()),
            None => Value::DoubleValue(number.as_f64()?),
        },
        Json::Array(all) => {
            let values = all.into_iter().filter_map(any).map(|value| AnyValue { value: Some(value) });
            Value::ArrayValue(ArrayValue { values: values.collect() })
        }
        Json::Null | Json::Object(_) => return None,
    })
}
