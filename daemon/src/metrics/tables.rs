//! Rows of tables: what a container's entries say, at one moment.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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
    rows_of_all(table, &[index], limit).remove(&index).unwrap_or_else(|| Rows::new(table, Vec::new()))
}

/// Reads a table of the containers in these places, each up to so many rows; none of those that have no row.
pub fn rows_of_all(table: &Table, places: &[u32], limit: usize) -> HashMap<u32, Rows> {
    let wanted: HashSet<u32> = places.iter().copied().collect();
    let mut all: HashMap<u32, Rows> = HashMap::new();
    for key in keys(&table.map) {
        let Some(index) = place(&key, table.plan.index_at).filter(|i| wanted.contains(i)) else { continue };
        let rows = all.entry(index).or_insert_with(|| Rows::new(table, Vec::new()));
        if rows.truncated {
            continue;
        }
        // Gone since the walk.
        let Some(value) = lookup(&table.map, &key) else { continue };
        if rows.records.len() == limit {
            rows.truncated = true;
            continue;
        }
        rows.records.push([key, table.plan.merge(&value)].concat());
    }
    all
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
