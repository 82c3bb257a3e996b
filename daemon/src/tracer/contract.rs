//! Tags: what an object says of itself in BTF, as `remora:<word> <text>`.

use std::collections::HashMap;

use libbpf_rs::btf::{Btf, TypeId, types};
use serde::Serialize;

use super::params::Param;

/// The words of the grammar; anything else is a spelling mistake, and refused.
const WORDS: &[&str] = &[
    "tracer",
    "group",
    "help",
    "event",
    "counter",
    "gauge",
    "histogram",
    "optional",
    "attributes",
    "attribute",
    "flags",
    "feature",
    "flow",
    "role",
    "report",
    "oneof",
    "param",
    "table",
    "sample",
    "refresh",
    "cgroup",
];

/// What an event, or a table's row, is in a report of a container.
pub const ROLES: [&str; 11] = [
    "executed",
    "ended",
    "opened",
    "changed",
    "connected",
    "accepted",
    "talked",
    "listened",
    "asked",
    "requested",
    "used",
];

#[derive(Debug, Clone)]
pub struct Tag {
    pub word: String,
    pub text: String,
}

/// All tags of an object, by type and member.
#[derive(Debug, Default)]
pub struct Tags(HashMap<(u32, Option<u32>), Vec<Tag>>);

impl Tags {
    pub fn read(btf: &Btf<'_>) -> Result<Self, String> {
        let mut all: HashMap<_, Vec<Tag>> = HashMap::new();
        for decl in btf.type_by_kind::<types::DeclTag<'_>>() {
            let name = decl.name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(tag) = name.strip_prefix("remora:") else { continue };
            let (word, text) = tag.split_once(' ').unwrap_or((tag, ""));
            let of = decl.next_type().ok_or("tag of nothing")?;
            if !WORDS.contains(&word) {
                let owner = of.name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(format!(
                    "unknown tag \"remora:{word}\" on {owner}: known are {}",
                    WORDS.join(", ")
                ));
            }
            let key = (u32::from(of.type_id()), decl.component_index());
            all.entry(key).or_default().push(Tag { word: word.to_owned(), text: text.trim().to_owned() });
        }
        Ok(Self(all))
    }

    pub fn text(&self, ty: TypeId, member: Option<u32>, word: &str) -> Option<&str> {
        let tags = self.0.get(&(u32::from(ty), member))?;
        tags.iter().find(|t| t.word == word).map(|t| t.text.as_str())
    }

    /// The role of an event or a table in a report.
    pub fn report(&self, ty: TypeId) -> Result<Option<String>, String> {
        match self.text(ty, None, "report") {
            Some(role) if !ROLES.contains(&role) => {
                Err(format!("report {role:?} is no role: known are {}", ROLES.join(", ")))
            }
            role => Ok(role.map(str::to_owned)),
        }
    }

    pub fn has(&self, ty: TypeId, member: Option<u32>, word: &str) -> bool {
        self.text(ty, member, word).is_some()
    }
}

/// What a tracer says of itself; the API, `remora check` and the documents show it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Description {
    pub name: String,
    pub help: String,
    pub groups: Vec<String>,
    pub events: Vec<EventDescription>,
    pub metrics: Vec<MetricDescription>,
    pub tables: Vec<TableDescription>,
    pub params: Vec<Param>,
    pub programs: Vec<Program>,
}

#[derive(Debug, Clone, Serialize)]
pub struct EventDescription {
    pub name: String,
    pub help: String,
    /// What it is in a report of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    pub fields: Vec<FieldDescription>,
}

#[derive(Debug, Clone, Serialize)]
pub struct FieldDescription {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub help: String,
    pub optional: bool,
    pub feature: bool,
    /// Of a table: it only grows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub counter: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableDescription {
    pub name: String,
    pub help: String,
    /// Its rows say who talks to whom.
    pub flow: bool,
    /// What advice is made of its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// What its rows are in a report of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Its rows have stacks.
    pub stacks: bool,
    pub fields: Vec<FieldDescription>,
}

#[derive(Debug, Clone, Serialize)]
pub struct MetricDescription {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub help: String,
    pub labels: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Program {
    pub name: String,
    pub section: String,
    /// Of the programs of one group the first that the kernel takes is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oneof: Option<(String, u32)>,
    pub optional: bool,
    /// The map it is run over before the tracer's metrics and tables are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// How often a second it runs on each processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
}

/// Words of the opt-in, and what the daemon's own metrics are called after `remora_`.
pub const RESERVED: [&str; 20] = [
    "alarms",
    "alert",
    "api",
    "all",
    "none",
    "default",
    "build",
    "container",
    "containers",
    "events",
    "history",
    "incidents",
    "manager",
    "map",
    "otlp",
    "profiles",
    "program",
    "records",
    "rule",
    "tracer",
];

/// A name that may stand in a metric, a path, a label: `[a-z][a-z0-9_]*`, at most 32 bytes.
pub fn valid_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// As C has it: a member, label, program or map.
pub fn is_identifier(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
