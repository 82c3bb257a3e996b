//! Alarms: what a rule says of an event, or what no profile knows; repetitions are counted, not told.

pub(crate) mod digest;
pub(crate) mod fold;
pub(crate) mod habit;
pub(crate) mod raw;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A note to what else happens: never told alone.
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Whether an alarm of it counts for more than a note: not of what is lowly, and not of a habit, whose score is 0.
    pub fn weighs(self, score: f64) -> bool {
        self >= Self::Medium && score > 0.0
    }

    pub fn name(self) -> &'static str {
        ["info", "low", "medium", "high", "critical"][self as usize]
    }

    /// What one alarm of it adds to an incident's score; an incident is told from 10 on.
    pub fn score(self) -> f64 {
        [0.0, 1.0, 4.0, 10.0, 25.0][self as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Rule,
    /// Behaviour that a converged profile does not have.
    Novelty,
}

/// Who did it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    pub pid: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comm: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub executable: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command_args: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// ASCII: `a-` and hexadecimal digits. The same events make the same id.
    pub id: String,
    pub kind: Kind,
    /// The rule's id; of a novelty the class of behaviour, such as `novel-executed`.
    pub rule: String,
    pub severity: Severity,
    pub score: f64,
    /// One sentence without a full stop.
    pub summary: String,
    /// MITRE ATT&CK: techniques (`T1059.004`) and tactics (`execution`), and what else the rule has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// RFC 3339.
    pub first: String,
    pub last: String,
    /// How often, this included.
    pub count: u64,
    /// Members `container` and `k8s` of the event.
    pub subject: Map<String, Value>,
    pub process: Actor,
    /// The first event, whole unless it is a large one; of a repetition the latest.
    pub event: Map<String, Value>,
    /// The incident that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
}
