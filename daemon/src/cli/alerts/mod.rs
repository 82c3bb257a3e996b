//! `remora alerts`

mod document;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use http_body_util::BodyExt;
use remora_alert::incident::{Incident, State};
use serde_json::Value;

use super::{report, table};
use crate::api::client;
use crate::decode::text::{json_document, printable};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora alerts\n  remora alerts i-4f1c2a7b90de\n  remora alerts --follow --severity high --format json"
)]
pub struct Args {
    /// The incident to show whole; without one, those that are open and those that were lately are listed.
    #[arg(conflicts_with_all = ["follow", "container", "severity", "open"])]
    id: Option<String>,
    /// Go on with what is to come.
    #[arg(short, long)]
    follow: bool,
    /// Id, beginning of an id, or name.
    #[arg(long)]
    container: Option<String>,
    /// Those of this severity, and above.
    #[arg(long, value_parser = PossibleValuesParser::new(document::severities()))]
    severity: Option<String>,
    /// Only those that are not over.
    #[arg(long)]
    open: bool,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// How long until a daemon that went is asked again.
const AGAIN: Duration = Duration::from_millis(200);

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    if let Some(id) = &args.id {
        let target = format!("/v1/alerts/{}", client::encode(id));
        let incident: Value = client::json(&socket, &target).await?;
        return show(incident, args.format);
    }
    if args.follow {
        return follow(&args, &socket).await;
    }
    let all: Vec<Value> = client::json(&socket, &target(&args, false)).await?;
    if args.format == Format::Json {
        println!("{}", json_document(&all, true));
        return Ok(());
    }
    let all = all.into_iter().map(serde_json::from_value).collect::<Result<Vec<Incident>, _>>()?;
    table::print(&HEAD, &all.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}

fn show(incident: Value, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => println!("{}", json_document(&incident, true)),
        Format::Table => io::stdout().write_all(text(&serde_json::from_value(incident)?).as_bytes())?,
    }
    Ok(())
}

/// All that is known of one, for a person.
pub fn text(incident: &Incident) -> String {
    report::text::render(&document::of(incident))
}

fn target(args: &Args, follow: bool) -> String {
    let state = args.open.then(|| "open".to_owned());
    let wanted = [("container", &args.container), ("severity", &args.severity), ("state", &state)];
    let wanted = wanted.iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
    wanted.fold(format!("/v1/alerts?follow={follow}"), |target, (key, value)| {
        target + &format!("&{key}={}", client::encode(value))
    })
}

/// What is open, then what comes, also when the daemon restarts.
async fn follow(args: &Args, socket: &Path) -> anyhow::Result<()> {
    // What is wrong now is no restart.
    drop(client::get(socket, &target(args, false)).await?);
    let mut last = None;
    loop {
        let result = pass(args, socket, &mut last).await;
        if result.as_ref().is_err_and(super::broken_pipe) {
            return result;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// `last` is the id of what was told last: behind that it goes on.
async fn pass(args: &Args, socket: &Path, last: &mut Option<String>) -> anyhow::Result<()> {
    let mut body = client::events(socket, &target(args, true), last.as_deref()).await?;
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the daemon ended the stream")?.into_data() else { continue };
        rest.extend_from_slice(&data);
        let whole = rest.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        for line in rest[..whole].split(|b| *b == b'\n') {
            if let Some(id) = line.strip_prefix(b"id: ") {
                *last = Some(String::from_utf8_lossy(id).into_owned());
            } else if let Some(told) = line.strip_prefix(b"data: ") {
                say(told, args.format)?;
            }
        }
        rest.drain(..whole);
    }
    Ok(())
}

/// Alarms are told with the incident that they are part of.
fn say(told: &[u8], format: Format) -> anyhow::Result<()> {
    let told: Value = serde_json::from_slice(told).context("failed to read an alert")?;
    if told["gap"].is_object() {
        eprintln!("remora: alerts are missing here: they were forgotten before they could be read");
    }
    let Some(incident) = told.get("incident") else { return Ok(()) };
    let line = match format {
        Format::Json => json_document(incident, false),
        Format::Table => line(&serde_json::from_value(incident.clone())?),
    };
    writeln!(io::stdout(), "{line}")?;
    Ok(io::stdout().flush()?)
}

const HEAD: [&str; 7] = ["LAST", "STATE", "SEVERITY", "SCORE", "CONTAINER", "ID", "TITLE"];

fn row(incident: &Incident) -> Vec<String> {
    vec![
        incident.last.chars().take(19).collect(),
        word(incident.state).to_owned(),
        incident.severity.name().to_owned(),
        format!("{:.0}", incident.score),
        containers(incident),
        incident.id.clone(),
        incident.title.clone(),
    ]
}

/// One of them, where how wide the others will be is not known.
fn line(incident: &Incident) -> String {
    let cells: Vec<String> = row(incident).iter().map(|cell| printable(cell)).collect();
    table::line(&cells, &[19, 5, 8, 5, 16, 14])
}

fn word(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Over => "over",
    }
}

/// Names, each once; a pod's with that.
fn containers(incident: &Incident) -> String {
    let text = |subject: &serde_json::Map<String, Value>| {
        let subject = Value::Object(subject.clone());
        let at = |path: &str| super::events::at(&subject, path);
        let name = if at("container.name").is_empty() { at("container.id") } else { at("container.name") };
        let pod = at("k8s.pod.name");
        if pod.is_empty() { name } else { format!("{}/{pod}/{name}", at("k8s.namespace.name")) }
    };
    let mut names: Vec<String> = incident.subjects.iter().map(text).collect();
    names.dedup();
    names.join(", ")
}

/// The time of day of RFC 3339, to the millisecond.
fn clock(time: &str) -> &str {
    time.get(11..23).unwrap_or(time)
}
