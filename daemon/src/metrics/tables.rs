//! Rows of tables: what a container's entries say, at one moment.

use std::sync::Arc;

use super::map::{keys, lookup, place};
use crate::decode::json;
use crate::decode::value::Clock;
use crate::tracer::engine::Meter;
use crate::tracer::load::Table;
use crate::tracer::table::TablePlan;

/// Rows of one container, not yet turned into text.
#[derive(Debug, Clone)]
pub struct Rows {
    pub plan: Arc<TablePlan>,
    /// Key and value, one behind the other.
    pub records: Vec<Vec<u8>>,
    /// There were more.
    pub truncated: bool,
}

/// Reads a table of a container.
pub fn rows(table: &Table, index: u32, limit: usize) -> Rows {
    let all = keys(&table.map);
    let mut mine = all.into_iter().filter(|k| place(k, table.plan.index_at) == Some(index));
    let mut records = Vec::new();
    for key in mine.by_ref() {
        // Gone since the walk.
        let Some(value) = lookup(&table.map, &key) else { continue };
        if records.len() == limit {
            return Rows { plan: table.plan.clone(), records, truncated: true };
        }
        records.push([key, table.plan.merge(&value)].concat());
    }
    Rows { plan: table.plan.clone(), records, truncated: false }
}

/// All tables of a container, so that they can be shown when it is gone.
pub fn rows_of(meters: &[Meter], index: u32, tracers: &[String], limit: usize) -> Vec<Rows> {
    let mine = meters.iter().filter(|m| tracers.contains(&m.tracer));
    let of = |m: &Meter| {
        m.refresh();
        m.tables.iter().map(|t| rows(t, index, limit)).collect::<Vec<_>>()
    };
    mine.flat_map(of).collect()
}

impl Rows {
    /// As a JSON array of at most so many objects; whether that is all.
    pub fn json(&self, out: &mut Vec<u8>, limit: usize, clock: Clock) -> bool {
        out.push(b'[');
        for (i, record) in self.records.iter().take(limit).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json::row(out, &self.plan.layout, record, clock);
        }
        out.push(b']');
        !self.truncated && self.records.len() <= limit
    }
}
