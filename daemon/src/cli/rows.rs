//! `remora table`

use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;

use super::events::{at, csv_cell};
use super::{Format, table};
use crate::api::client;
use crate::decode::text::json_document;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora table\n  remora table flows web\n  remora table listening web --format csv"
)]
pub struct Args {
    /// The table; without any, tables are listed.
    name: Option<String>,
    /// Id, beginning of an id, or name.
    #[arg(requires = "name")]
    container: Option<String>,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// At most this many rows.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let tracers: Vec<Value> = client::json(&socket, "/v1/tracers").await?;
    let Some(name) = &args.name else { return list(&tracers, args.format) };
    let container = args.container.as_deref().context("of which container? remora table NAME CONTAINER")?;
    let mut target = format!("/v1/containers/{}/tables/{}", client::encode(container), client::encode(name));
    if let Some(limit) = args.limit {
        target += &format!("?limit={limit}");
    }
    let answer: Value = client::json(&socket, &target).await?;
    if args.format == Format::Json {
        println!("{}", json_document(&answer, true));
        return Ok(());
    }
    let columns = columns(&tracers, name);
    show(name, &columns, &answer, args.format)?;
    if answer["truncated"] == true {
        eprintln!("remora: there are more rows");
    }
    Ok(())
}

fn list(tracers: &[Value], format: Format) -> anyhow::Result<()> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let tables = |t: &Value| {
        let row = |d: &Value| vec![text(&d["name"]), text(&t["name"]), text(&d["help"])];
        t["tables"].as_array().into_iter().flatten().map(row).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = tracers.iter().flat_map(tables).collect();
    let head = ["TABLE", "TRACER", "TELLS"];
    match format {
        Format::Table => table::print(&head, &rows)?,
        Format::Csv => csv(&head.map(str::to_lowercase), &rows),
        Format::Json => {
            let all: Vec<&Value> =
                tracers.iter().flat_map(|t| t["tables"].as_array().into_iter().flatten()).collect();
            println!("{}", json_document(&all, true));
        }
    }
    Ok(())
}

/// Paths of the table's fields, in the order of its members.
fn columns(tracers: &[Value], name: &str) -> Vec<String> {
    let mut tables = tracers.iter().flat_map(|t| t["tables"].as_array().into_iter().flatten());
    let fields = tables.find(|t| t["name"] == name).and_then(|t| t["fields"].as_array());
    fields.into_iter().flatten().filter_map(|f| Some(f["name"].as_str()?.to_owned())).collect()
}

fn show(name: &str, columns: &[String], answer: &Value, format: Format) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = answer["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| columns.iter().map(|path| at(row, path)).collect())
        .collect();
    if format == Format::Csv {
        csv(columns, &rows);
        return Ok(());
    }
    // A terminal has no room for what says nothing.
    let told: Vec<usize> =
        (0..columns.len()).filter(|i| rows.is_empty() || rows.iter().any(|r| !r[*i].is_empty())).collect();
    let head: Vec<String> = told.iter().map(|i| heading(name, &columns[*i])).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|r| told.iter().map(|i| r[*i].clone()).collect()).collect();
    table::print(&head, &rows)?;
    Ok(())
}

/// A path without what all have in common: the table's own name, or what names of standards begin with.
fn heading(table: &str, path: &str) -> String {
    let own = path.strip_prefix(table).and_then(|p| p.strip_prefix('.'));
    let short = own.or_else(|| path.split_once('.').map(|(_, rest)| rest).filter(|rest| rest.contains('.')));
    short.unwrap_or(path).to_uppercase()
}

fn csv(head: &[String], rows: &[Vec<String>]) {
    println!("{}", head.join(","));
    for row in rows {
        println!("{}", row.iter().map(|c| csv_cell(c)).collect::<Vec<_>>().join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::heading;

    #[test]
    fn headings_are_short() {
        assert_eq!(heading("listening", "listening.backlog"), "BACKLOG");
        assert_eq!(heading("listening", "network.local.address"), "LOCAL.ADDRESS");
        assert_eq!(heading("listening", "process.pid"), "PROCESS.PID");
        assert_eq!(heading("listening", "listening"), "LISTENING");
    }
}
