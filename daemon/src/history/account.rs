//! What a container leaves: its ledger, the last rows of its tables and the last values of its metrics.

use std::sync::Arc;

use remora_wire::time::unix_ns;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::decode::text::json_document;
use crate::decode::value::Clock;
use crate::metrics::tables::Rows;
use crate::metrics::{Sample, Value};
use crate::registry::record::View;

/// As the registry lets go of it.
#[derive(Debug)]
pub struct Left {
    pub view: View,
    pub values: Arc<Vec<Sample>>,
    pub rows: Arc<Vec<Rows>>,
}

/// As it is kept, and read again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    pub container: View,
    #[serde(default)]
    pub tables: Vec<Table>,
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub tracer: String,
    pub help: String,
    /// What its rows are in a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Paths, in the order of the table's members.
    pub columns: Vec<String>,
    pub rows: Vec<Json>,
    /// There were more.
    pub truncated: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    pub tracer: String,
    pub help: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String, Json>,
    /// Of a histogram the sum.
    pub value: f64,
    /// Of a histogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Left {
    /// Of one that only a ledger is left of.
    pub fn bare(view: View) -> Self {
        Self { view, values: Arc::default(), rows: Arc::default() }
    }

    /// One that was let go of may be wanted again under the same id and cgroup: then it has two accounts.
    pub fn key(&self) -> String {
        let view = &self.view;
        format!("{}\0{}\0{}", view.id, view.cgroup_id, view.ledger.observed_from)
    }

    /// When it ended.
    pub fn unix_ns(&self) -> u64 {
        let told = self.view.ledger.observed_to.as_deref().and_then(|t| humantime::parse_rfc3339(t).ok());
        let since = told.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        since.and_then(|d| u64::try_from(d.as_nanos()).ok()).unwrap_or_else(unix_ns)
    }

    pub fn packed(&self) -> Vec<u8> {
        let account = Account::new(self.view.clone(), &self.values, &self.rows);
        miniz_oxide::deflate::compress_to_vec(json_document(&account, false).as_bytes(), 6)
    }
}

impl Account {
    pub fn new(container: View, values: &[Sample], rows: &[Rows]) -> Self {
        // Maps that are arrays have values for containers that did not ask for their tracer.
        let mine = values.iter().filter(|s| container.ledger.tracers.contains_key(&s.tracer));
        let metrics = mine.map(Metric::from).collect();
        Self { metrics, tables: rows.iter().map(Table::from).collect(), container }
    }
}

impl From<&Rows> for Table {
    fn from(rows: &Rows) -> Self {
        let mut text = Vec::new();
        let whole = rows.json(&mut text, usize::MAX, Clock::now());
        Self {
            name: rows.plan.name.clone(),
            tracer: rows.plan.tracer.to_string(),
            help: rows.plan.help.clone(),
            report: rows.plan.report.clone(),
            columns: rows.plan.layout.fields.iter().map(|f| f.path.clone()).collect(),
            rows: serde_json::from_slice(&text).unwrap_or_default(),
            truncated: !whole,
        }
    }
}

impl From<&Sample> for Metric {
    fn from(sample: &Sample) -> Self {
        let (value, count) = match &sample.value {
            Value::Number(number) => (*number, None),
            Value::Histogram { buckets, above, sum } => {
                (*sum, Some(buckets.iter().map(|(_, n)| n).sum::<u64>() + above))
            }
        };
        Self {
            name: sample.name.clone(),
            tracer: sample.tracer.clone(),
            help: sample.help.clone(),
            labels: sample.labels.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect(),
            value,
            count,
        }
    }
}
