//! `remora tracers`

use std::path::PathBuf;

use serde_json::Value;

use super::{Format, table};
use crate::api::client;
use crate::decode::text::json_document;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  remora tracers\n  remora tracers exec\n  remora tracers --cost")]
pub struct Args {
    /// Show one tracer with its events, fields and metrics.
    name: Option<String>,
    /// Have the cost of programs counted, and show it; the first time there is nothing to show yet.
    #[arg(long)]
    cost: bool,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let target = match &args.name {
        Some(name) => format!("/v1/tracers/{}", client::encode(name)),
        None => "/v1/tracers".to_owned(),
    };
    let target = if args.cost { target + "?cost=true" } else { target };
    let value: Value = client::json(&socket, &target).await?;
    match (&value, args.format) {
        (_, Format::Json) => println!("{}", json_document(&value, true)),
        (Value::Array(all), _) if args.cost => costs(all)?,
        (Value::Array(all), _) => list(all)?,
        (one, _) if args.cost => costs(std::slice::from_ref(one))?,
        (one, _) => describe(one)?,
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn words(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(",")
}

fn list(all: &[Value]) -> std::io::Result<()> {
    let row = |t: &Value| {
        let state = t["problem"].as_str().map_or_else(|| text(&t["state"]), |p| format!("failed: {p}"));
        vec![
            text(&t["name"]),
            words(&t["groups"]),
            state,
            text(&t["containers"]),
            words(&t["chosen"]),
            text(&t["help"]),
        ]
    };
    let head = ["TRACER", "GROUPS", "STATE", "CONTAINERS", "PROGRAMS", "TELLS"];
    table::print(&head, &all.iter().map(row).collect::<Vec<_>>())
}

fn costs(all: &[Value]) -> std::io::Result<()> {
    let mut rows = Vec::new();
    for tracer in all {
        for (program, cost) in tracer["cost"].as_object().into_iter().flatten() {
            let (runs, ns) = (cost["runs"].as_u64().unwrap_or(0), cost["nanoseconds"].as_u64().unwrap_or(0));
            rows.push(vec![
                text(&tracer["name"]),
                program.clone(),
                runs.to_string(),
                format!("{:.6}", ns as f64 / 1e9),
                ns.checked_div(runs).map_or_else(String::new, |each| each.to_string()),
            ]);
        }
    }
    table::print(&["TRACER", "PROGRAM", "RUNS", "SECONDS", "NS A RUN"], &rows)
}

/// Of an event or a table.
fn fields(of: &Value) -> std::io::Result<()> {
    let row = |f: &Value| vec![text(&f["name"]), text(&f["type"]), text(&f["help"])];
    let rows: Vec<_> = of["fields"].as_array().into_iter().flatten().map(row).collect();
    table::print(&["FIELD", "TYPE", "MEANS"], &rows)
}

/// What a tracer tells: for `remora tracers NAME` and `remora check`.
pub fn describe(tracer: &Value) -> std::io::Result<()> {
    println!("{}: {}", text(&tracer["name"]), text(&tracer["help"]));
    for event in tracer["events"].as_array().into_iter().flatten() {
        println!("\nevent {}: {}", text(&event["name"]), text(&event["help"]));
        fields(event)?;
    }
    for table in tracer["tables"].as_array().into_iter().flatten() {
        println!("\ntable {}: {}", text(&table["name"]), text(&table["help"]));
        fields(table)?;
    }
    let row = |m: &Value| vec![text(&m["name"]), text(&m["type"]), words(&m["labels"]), text(&m["help"])];
    let rows: Vec<_> = tracer["metrics"].as_array().into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        println!();
        table::print(&["METRIC", "TYPE", "LABELS", "MEANS"], &rows)?;
    }
    let row = |p: &Value| {
        vec![text(&p["name"]), text(&p["default"]), format!("{} to {}", p["min"], p["max"]), text(&p["help"])]
    };
    let rows: Vec<_> = tracer["params"].as_array().into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        println!();
        table::print(&["PARAMETER", "DEFAULT", "RANGE", "MEANS"], &rows)?;
    }
    Ok(())
}
