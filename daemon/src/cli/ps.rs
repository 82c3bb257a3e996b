//! `remora ps`

use std::path::PathBuf;

use super::{Format, table};
use crate::api::client;
use crate::decode::text::json_document;
use crate::registry::record::View;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  remora ps\n  remora ps --all --format json | jq '.[].ledger'")]
pub struct Args {
    /// Also containers that ended, those that only the history knows included.
    #[arg(short, long)]
    all: bool,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let mut all: Vec<View> =
        client::json(&socket, if args.all { "/v1/containers?history=true" } else { "/v1/containers" })
            .await?;
    all.retain(|c| args.all || c.state != "ended");
    match args.format {
        Format::Json => println!("{}", json_document(&all, true)),
        Format::Table => table::print(&HEAD, &all.iter().map(row).collect::<Vec<_>>())?,
        Format::Csv => {
            println!("{}", HEAD.map(str::to_lowercase).join(","));
            for view in &all {
                println!(
                    "{}",
                    row(view).iter().map(|c| super::events::csv_cell(c)).collect::<Vec<_>>().join(",")
                );
            }
        }
    }
    Ok(())
}

const HEAD: [&str; 9] = ["ID", "NAME", "STATE", "PID", "TRACERS", "FROM", "EVENTS", "LOST", "REMARKS"];

fn row(view: &View) -> Vec<String> {
    let ledger = &view.ledger;
    let sum = |f: fn(&crate::registry::record::Counts) -> u64| {
        ledger.tracers.values().map(f).sum::<u64>().to_string()
    };
    let late = ledger.late.iter().map(|why| format!("late: {why}"));
    let end = (!ledger.end.is_empty()).then(|| format!("end: {}", ledger.end.join(", ")));
    let remarks: Vec<String> = late.chain(ledger.notes.iter().cloned()).chain(end).collect();
    vec![
        view.id.chars().take(12).collect(),
        view.name.clone(),
        view.state.clone(),
        if view.pid == 0 { "-".to_owned() } else { view.pid.to_string() },
        view.tracers.join(","),
        ledger.observed_from.chars().take(19).collect(),
        sum(|c| c.counted),
        sum(|c| c.lost()),
        remarks.join("; "),
    ]
}
