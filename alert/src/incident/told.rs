//! What is told of an incident: by the API, to receivers, by `remora replay`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::alarm::{Alarm, Severity};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Something of it may still come.
    Open,
    /// Nothing came for the window, or its containers ended.
    Over,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// ASCII: `i-` and hexadecimal digits. The same events make the same id; it stays what it was when first told.
    pub id: String,
    pub state: State,
    pub severity: Severity,
    pub score: f64,
    /// One line.
    pub title: String,
    /// What happened, in sentences, in order.
    pub text: String,
    /// RFC 3339.
    pub first: String,
    pub last: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// Techniques and tactics, each once.
    pub tags: Vec<String>,
    /// Rules that spoke, each once, the weightiest first.
    pub rules: Vec<String>,
    /// Image of the container it began in.
    pub image: String,
    /// Kubernetes namespace and pod, or the container's name: what runs there.
    pub workload: String,
    /// Members `container` and `k8s` of each container that takes part.
    pub subjects: Vec<Map<String, Value>>,
    /// At most 64; the weightiest, in order of time.
    pub alarms: Vec<Alarm>,
    pub alarms_total: u64,
    pub graph: Graph,
    /// At most 128 entries.
    pub timeline: Vec<Moment>,
    /// Whether everything that its containers did could be seen.
    pub ledger: Ledger,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub complete: bool,
    /// Events lost in its containers while it went on.
    pub lost: u64,
    /// What was left out here, for want of room.
    pub left_out: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `p1`, `f2`, `n3`: unique in its graph.
    pub id: String,
    /// `process`, `file`, `peer` or `container`.
    pub kind: String,
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// An alarm speaks of it.
    pub alarmed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// `executed`, `opened`, `connected`, …: the class of the event's behaviour, or where that says more what was done:
    /// `wrote`, `chmod`, `forked`.
    pub kind: String,
    pub count: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339.
    pub time: String,
    pub container: String,
    pub pid: u64,
    pub severity: Severity,
    /// The alarm's, if one spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<String>,
    pub text: String,
}
