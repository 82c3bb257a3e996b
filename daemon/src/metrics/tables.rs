//! Rows of tables: what a container's entries say, at one moment.

use std::sync::Arc;

use super::map::{self, keys, lookup, place};
use crate::decode::json;
use crate::decode::value::Clock;
use crate::stacks::Stacks;
use crate::tracer::engine::Meter;
use crate::tracer::load::Table;
use crate::tracer::table::TablePlan;

/// Rows of one container, not yet turned into text.
#[derive(Debug, Clone)]
pub struct Rows {
    pub plan: Arc<TablePlan>,
    /// Key and value, one behind the other.
    pub records: Vec<Vec<u8>>,
    /// Of each record, if the table has stacks.
    pub stacks: Vec<Stacks>,
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
            return Rows { truncated: true, ..Rows::new(table, records) };
        }
        records.push([key, table.plan.merge(&value)].concat());
    }
    Rows::new(table, records)
}

/// Takes a container's rows with stacks out of the maps: those who give names to stacks go on with them.
pub fn take(meters: &[Meter], index: u32, tracers: &[String]) -> Vec<(Table, Rows)> {
    let mine = meters.iter().filter(|m| tracers.contains(&m.tracer)).flat_map(|m| &m.tables);
    let one = |table: &Table| {
        let keys = keys(&table.map).into_iter().filter(|k| place(k, table.plan.index_at) == Some(index));
        let record =
            |key: Vec<u8>| Some([key.clone(), table.plan.merge(&map::take(&table.map, &key)?)].concat());
        (table.clone(), Rows::new(table, keys.filter_map(record).collect()))
    };
    mine.filter(|t| t.stacks.is_some()).map(one).collect()
}

/// All tables of a container but those with stacks, so that they can be shown when it is gone.
pub fn rows_of(meters: &[Meter], index: u32, tracers: &[String], limit: usize) -> Vec<Rows> {
    let mine = meters.iter().filter(|m| tracers.contains(&m.tracer));
    let of = |m: &Meter| {
        m.refresh();
        m.tables.iter().filter(|t| t.stacks.is_none()).map(|t| rows(t, index, limit)).collect::<Vec<_>>()
    };
    mine.flat_map(of).collect()
}

impl Rows {
    fn new(table: &Table, records: Vec<Vec<u8>>) -> Self {
        Self { plan: table.plan.clone(), records, stacks: Vec::new(), truncated: false }
    }

    /// As a JSON array of at most so many objects; whether that is all.
    pub fn json(&self, out: &mut Vec<u8>, limit: usize, clock: Clock) -> bool {
        out.push(b'[');
        for (i, record) in self.records.iter().take(limit).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json::row(out, &self.plan.layout, record, self.stacks.get(i), clock);
        }
        out.push(b']');
        !self.truncated && self.records.len() <= limit
    }
}
