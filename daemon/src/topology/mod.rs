//! Who talks to whom on this node: containers and outside peers, and what goes between them. Made anew for whoever asks,
//! out of the rows of tables that say so; both ends of a connection on this node are one edge.

mod flow;
mod join;
mod outline;
mod settle;
mod space;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use flow::{Direction, Flow};
pub use join::{Party, join};
pub use outline::{End, Outline, Sum};
pub use space::{Ended, Past};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    /// Containers whose flows nobody keeps: they have no tracer that does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// Whether there were more rows than are looked at.
    #[serde(default)]
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Container,
    /// One in a network namespace (a pod's, the host's, or one that containers share), and nobody can tell which.
    Network,
    /// An address that is none of a container in scope.
    Peer,
    /// What is not kept apart.
    Others,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// A container's id, a peer's address, `network` and an inode.
    pub id: String,
    pub kind: Kind,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its own addresses, as its flows tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl Node {
    /// Of which no more is known.
    fn alone(id: String, kind: Kind, name: String) -> Self {
        Self { id, kind, name, pod: None, namespace: None, addresses: Vec::new() }
    }
}

/// From who began to who was asked; `sent` is in that direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    pub source: String,
    pub target: String,
    pub transport: String,
    /// Of the service; 0 if it is not known.
    pub port: u16,
    /// By whom it was seen: `source`, `target`, or `both`.
    pub seen_by: SeenBy,
    pub connections: u64,
    pub failures: u64,
    pub active: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub received_packets: u64,
    pub retransmits: u64,
    /// Smoothed, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<f64>,
    /// RFC 3339.
    pub first: String,
    pub last: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    Source,
    Target,
    Both,
}

impl Topology {
    /// Names by which a person knows nodes: of several alike, with the beginning of their ids.
    pub fn names(&self) -> BTreeMap<&str, String> {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for node in &self.nodes {
            *count.entry(&node.name).or_default() += 1;
        }
        let name = |node: &Node| match count[node.name.as_str()] {
            1 => node.name.clone(),
            _ => format!("{} ({})", node.name, node.id.chars().take(12).collect::<String>()),
        };
        self.nodes.iter().map(|node| (node.id.as_str(), name(node))).collect()
    }
}

#[cfg(test)]
mod tests;
