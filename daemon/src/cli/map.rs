//! `remora map`

use std::{fmt::Write, path::PathBuf};

use super::table;
use crate::api::client;
use crate::decode::text::{json_document, printable};
use crate::topology::{Edge, Kind, Topology};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  remora map\n  remora map --format dot | dot -Tsvg >map.svg")]
pub struct Args {
    /// `dot` is for Graphviz: `remora map --format dot | dot -Tsvg`.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Dot,
    Json,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let topology: Topology = client::json(&socket, "/v1/topology").await?;
    match args.format {
        Format::Json => println!("{}", json_document(&topology, true)),
        Format::Dot => print!("{}", dot(&topology)),
        Format::Text => {
            let names = topology.names();
            let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
            let row = |edge: &Edge| row(edge, name(&edge.source), name(&edge.target));
            table::print(&HEAD, &topology.edges.iter().map(row).collect::<Vec<_>>())?;
            remarks(&topology, name);
        }
    }
    Ok(())
}

/// What the table does not say.
fn remarks(topology: &Topology, name: impl Fn(&str) -> String) {
    if topology.truncated {
        eprintln!("there were more flows than are looked at: the smallest are missing");
    }
    if !topology.unseen.is_empty() {
        let names: Vec<String> = topology.unseen.iter().map(|id| printable(&name(id))).collect();
        eprintln!(
            "without a tracer that keeps flows, so seen from the other end at most: {}",
            names.join(", ")
        );
    }
}

const HEAD: [&str; 9] =
    ["FROM", "TO", "SERVICE", "CONNECTIONS", "ACTIVE", "FAILED", "SENT", "RECEIVED", "ROUND TRIP"];

fn row(edge: &Edge, source: String, target: String) -> Vec<String> {
    vec![
        source,
        target,
        service(edge),
        edge.connections.to_string(),
        edge.active.to_string(),
        edge.failures.to_string(),
        bytes(edge.sent_bytes),
        bytes(edge.received_bytes),
        edge.round_trip.map_or_else(|| "-".to_owned(), |s| format!("{:.2} ms", s * 1e3)),
    ]
}

fn service(edge: &Edge) -> String {
    if edge.port == 0 { edge.transport.clone() } else { format!("{}/{}", edge.port, edge.transport) }
}

/// As people read them.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64 / 1024.0;
    if value < 1.0 {
        return format!("{n} B");
    }
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn dot(topology: &Topology) -> String {
    let mut out = String::from("digraph remora {\n  rankdir=LR;\n  node [shape=box];\n");
    let names = topology.names();
    for node in &topology.nodes {
        let shape = if node.kind == Kind::Container { "" } else { ", shape=ellipse, style=dashed" };
        let _ = writeln!(out, "  {} [label={}{shape}];", quoted(&node.id), quoted(&names[node.id.as_str()]));
    }
    for edge in &topology.edges {
        let label = format!("{} {}", service(edge), bytes(edge.sent_bytes + edge.received_bytes));
        let color = if edge.failures > 0 { ", color=red" } else { "" };
        let (source, target) = (quoted(&edge.source), quoted(&edge.target));
        let _ = writeln!(out, "  {source} -> {target} [label={}{color}];", quoted(&label));
    }
    out + "}\n"
}

/// A string of Graphviz: nothing that a container calls itself ends it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_people_read_them() {
        let texts = [0, 1023, 1024, 1 << 20, 5 << 30, u64::MAX].map(bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "5.0 GiB", "16384.0 PiB"]);
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a\"]; b \\"), "\"a\\\"]; b \\\\\"");
    }
}
