//! Alarms of one lineage become one incident.

mod told;

pub use told::{Edge, Graph, Incident, Ledger, Moment, Node, State};
