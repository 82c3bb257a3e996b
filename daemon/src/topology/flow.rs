//! A row of a table that says who talks to whom.

use std::{collections::HashMap, net::IpAddr};

use serde::{Deserialize, de::Error};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Outgoing,
    Incoming,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    pub direction: Direction,
    pub transport: String,
    /// None where the flows are not kept apart.
    pub local: Option<IpAddr>,
    pub peer: Option<IpAddr>,
    /// 0 if it is not known.
    pub port: u16,
    pub counts: Counts,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub connections: u64,
    pub failures: u64,
    pub active: u64,
    pub sent: u64,
    pub received: u64,
    pub sent_packets: u64,
    pub received_packets: u64,
    pub retransmits: u64,
    pub round_trip: Option<f64>,
    pub first: String,
    pub last: String,
}

/// As it stands in the answer of the API.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    network: Network,
    #[serde(default)]
    server: Server,
    /// What is left: the table's own fields, under its name.
    #[serde(flatten)]
    own: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Fields {
    direction: Direction,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    transport: String,
    local: Address,
    peer: Address,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    address: Option<IpAddr>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Server {
    port: u16,
}

impl Flow {
    /// Reads the rows of one container.
    pub fn read(table: &str, rows: &[u8]) -> serde_json::Result<Vec<Self>> {
        let rows: Vec<Row> = serde_json::from_slice(rows)?;
        rows.into_iter().map(|row| Self::of(table, row)).collect()
    }

    fn of(table: &str, mut row: Row) -> serde_json::Result<Self> {
        let own =
            row.own.remove(table).ok_or_else(|| serde_json::Error::custom(format!("no member {table}")))?;
        let own: Fields = serde_json::from_value(own)?;
        Ok(Self {
            direction: own.direction,
            transport: row.network.transport,
            local: row.network.local.address.map(|a| a.to_canonical()),
            peer: row.network.peer.address.map(|a| a.to_canonical()),
            port: row.server.port,
            counts: own.counts,
        })
    }
}
