//! Events of one role, added up by what their tracers say makes behaviour.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::tracer::contract::ROLES;

/// Entries of one section that are kept apart.
const MOST: usize = 2000;
/// Bytes of one section's entries.
const BYTES: usize = 4 << 20;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// One of the contract's roles; `else` for events without.
    pub role: String,
    pub entries: Vec<Entry>,
    /// Events that are not shown.
    pub more: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub event: String,
    /// What the tracer says that event is.
    pub help: String,
    /// Its features, by their paths.
    pub features: Map<String, Json>,
    /// How often.
    pub times: u64,
    /// Of these, how often it failed, and how the last time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// RFC 3339.
    pub first: String,
    pub last: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[derive(Debug, Default)]
struct Sum {
    section: Section,
    /// Entries by event and features.
    known: HashMap<String, usize>,
    bytes: usize,
}

#[derive(Debug, Default)]
pub struct Sections(HashMap<String, Sum>);

impl Sections {
    pub fn add(
        &mut self,
        role: String,
        event: &str,
        help: &str,
        features: Vec<(String, Json)>,
        error: Option<String>,
        time: String,
    ) {
        let sum = self.0.entry(role.clone()).or_default();
        let features: Map<String, Json> = features.into_iter().collect();
        let key = format!("{event}\0{}", serde_json::to_string(&features).unwrap_or_default());
        let index = match sum.known.get(&key) {
            Some(index) => *index,
            None if sum.known.len() >= MOST || sum.bytes + key.len() > BYTES => {
                sum.section.more += 1;
                return;
            }
            None => {
                let (event, help) = (event.to_owned(), help.to_owned());
                let entry = Entry { event, help, features, first: time.clone(), ..Entry::default() };
                sum.section.role = role;
                sum.section.entries.push(entry);
                sum.bytes += key.len();
                sum.known.insert(key, sum.section.entries.len() - 1);
                sum.section.entries.len() - 1
            }
        };
        let entry = &mut sum.section.entries[index];
        entry.times += 1;
        entry.failed += u64::from(error.is_some());
        entry.error = error.or(entry.error.take());
        entry.last = time;
    }

    /// In the order in which the contract names roles.
    pub fn finish(mut self) -> Vec<Section> {
        let order = ROLES.into_iter().chain(["else"]);
        order.filter_map(|role| Some(self.0.remove(role)?.section)).collect()
    }
}
