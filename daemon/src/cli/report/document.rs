//! A report as headings, tables and a tree, before it is text or HTML. Cells are what containers said, as it is.

use serde_json::{Map, Value};

use crate::cli::events::at;
use crate::history::{Metric, Table};
use crate::report::{Entry, Process, Report, Section, Source};

#[derive(Debug, Default)]
pub struct Document {
    pub title: String,
    pub parts: Vec<Part>,
}

#[derive(Debug)]
pub struct Part {
    pub heading: String,
    /// What a reader must know of it.
    pub notes: Vec<String>,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    /// Names and what is said of them.
    Facts(Vec<(String, String)>),
    Table {
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    Tree(Vec<Branch>),
}

#[derive(Debug)]
pub struct Branch {
    pub text: String,
    /// How often, when and how it ended.
    pub more: String,
    pub below: Vec<Branch>,
}

pub fn of(report: &Report) -> Document {
    let view = &report.container;
    let mut parts = vec![who(report), ledger(report)];
    if !report.processes.is_empty() {
        let more = report.more_processes;
        let notes = if more > 0 { vec![format!("{more} more processes are not shown")] } else { Vec::new() };
        let body = Body::Tree(report.processes.iter().map(branch).collect());
        parts.push(Part { heading: "Executed".into(), notes, body });
    }
    let tables = |role: Option<&str>| {
        let of_role = move |t: &&Table| t.report.as_deref() == role;
        report.tables.iter().filter(of_role).collect::<Vec<_>>()
    };
    for role in crate::tracer::contract::ROLES {
        parts.extend(report.sections.iter().filter(|s| s.role == role).map(section));
        parts.extend(tables(Some(role)).into_iter().map(table));
    }
    parts.extend(report.sections.iter().filter(|s| s.role == "else").map(section));
    parts.extend(tables(None).into_iter().map(table));
    parts.extend(metrics(&report.metrics));
    Document { title: format!("Container {}", view.name), parts }
}

fn who(report: &Report) -> Part {
    let view = &report.container;
    let identity = &view.identity;
    let pod = identity.pod.as_ref();
    let facts = [
        ("id", view.id.clone()),
        ("image", identity.image_name.clone()),
        ("image id", identity.image_id.clone()),
        ("runtime", identity.runtime.clone()),
        ("pod", pod.map(|p| format!("{}/{}", p.namespace, p.name)).unwrap_or_default()),
        ("state", view.state.clone()),
        ("observed from", view.ledger.observed_from.clone()),
        ("observed to", view.ledger.observed_to.clone().unwrap_or_default()),
        ("end", view.ledger.end.join(", ")),
        ("tracers", view.tracers.join(", ")),
    ];
    let facts = facts.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), v)).collect();
    Part { heading: "Who".into(), notes: Vec::new(), body: Body::Facts(facts) }
}

/// What was counted, what was lost, and what this report lacks beside that.
fn ledger(report: &Report) -> Part {
    let ledger = &report.container.ledger;
    let mut notes: Vec<String> = ledger.late.iter().map(|why| format!("late: {why}")).collect();
    notes.extend(ledger.notes.iter().cloned());
    notes.extend(ledger.changes.iter().map(|c| format!("{}: {} {}", c.at, c.tracer, c.change)));
    let delivered: u64 = ledger.tracers.values().map(|c| c.delivered).sum();
    let from = match report.source {
        Source::History => "the history",
        Source::Memory => "the daemon's memory (there is no history: see [history] in remora.toml)",
    };
    notes.push(format!("this report adds up {} of {delivered} events delivered, from {from}", report.events));
    if report.gaps > 0 {
        notes.push("events are missing: they were forgotten before this report was asked for".into());
    }
    let head = ["tracer", "counted", "delivered", "lost", "ring full", "share", "map full", "budget"];
    let row = |(tracer, c): (&String, &crate::registry::record::Counts)| {
        let numbers =
            [c.counted, c.delivered, c.lost(), c.lost_full, c.lost_share, c.lost_other, c.lost_budget];
        std::iter::once(tracer.clone()).chain(numbers.map(|n| n.to_string())).collect()
    };
    let rows = ledger.tracers.iter().map(row).collect();
    Part { heading: "Ledger".into(), notes, body: Body::Table { head: head.map(str::to_owned).into(), rows } }
}

fn branch(process: &Process) -> Branch {
    let command = |c: &crate::report::Command| {
        let args = c.args.iter().map(|a| word(a)).collect::<Vec<_>>().join(" ");
        let name = c.args.first().map_or("", String::as_str);
        // What was executed is told where the arguments call it otherwise.
        let known = c.executable == name || c.executable.ends_with(&format!("/{name}"));
        if known && !name.is_empty() { args } else { format!("{} [{args}]", c.executable) }
    };
    let commands: Vec<String> = process.commands.iter().map(command).collect();
    let text = if commands.is_empty() { "(a copy of its parent)".to_owned() } else { commands.join(" → ") };
    let mut more = vec![format!("pid {}", process.pid), clock(&process.time)];
    if process.times > 1 {
        more.push(format!("{} times", process.times));
    }
    let end = process.end.iter().flatten().map(|(key, value)| format!("{key}={}", plain(value)));
    more.extend(end);
    Branch { text, more: more.join(", "), below: process.children.iter().map(branch).collect() }
}

/// As a shell would want it: an argument with a blank in it is one.
fn word(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./,:@%+~".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{argument}'")
    }
}

fn heading(role: &str) -> &str {
    match role {
        "opened" => "Opened",
        "changed" => "Changed files",
        "connected" => "Connected to",
        "accepted" => "Accepted",
        "talked" => "Talked with",
        "listened" => "Listened on",
        "asked" => "Asked for names",
        "requested" => "Requested",
        "used" => "Used",
        _ => "Also",
    }
}

fn section(section: &Section) -> Part {
    // Columns for each feature that there is.
    let mut paths: Vec<&String> = Vec::new();
    for path in section.entries.iter().flat_map(|e| e.features.keys()) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    let wide = paths.len() <= 6 && section.role != "else";
    let mut head = vec!["event".to_owned()];
    if wide {
        head.extend(paths.iter().map(|p| short(p)));
    } else {
        head.push("what".to_owned());
    }
    head.extend(["times", "failed", "first", "last"].map(str::to_owned));
    let row = |entry: &Entry| {
        let mut row = vec![entry.event.clone()];
        if wide {
            row.extend(paths.iter().map(|p| entry.features.get(*p).map(plain).unwrap_or_default()));
        } else {
            row.push(said(entry));
        }
        let failed = match (&entry.error, entry.failed) {
            (Some(error), n) if n > 0 => format!("{n} ({error})"),
            _ => String::new(),
        };
        row.extend([entry.times.to_string(), failed, clock(&entry.first), clock(&entry.last)]);
        row
    };
    let more = section.more;
    let notes = if more > 0 { vec![format!("{more} more events are not shown")] } else { Vec::new() };
    let rows = section.entries.iter().map(row).collect();
    Part { heading: heading(&section.role).to_owned(), notes, body: Body::Table { head, rows } }
}

/// What an event is, and its features.
fn said(entry: &Entry) -> String {
    let features: Vec<String> =
        entry.features.iter().map(|(path, value)| format!("{}={}", short(path), plain(value))).collect();
    if features.is_empty() { entry.help.clone() } else { features.join(" ") }
}

fn table(table: &Table) -> Part {
    let role = table.report.as_deref().map_or("Table", heading);
    let cells = |row: &Value| table.columns.iter().map(|path| at(row, path)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = table.rows.iter().map(cells).collect();
    let told: Vec<usize> =
        (0..table.columns.len()).filter(|i| rows.iter().any(|r| !r[*i].is_empty())).collect();
    let head = told.iter().map(|i| short(&table.columns[*i])).collect();
    let rows = rows.into_iter().map(|r| told.iter().map(|i| r[*i].clone()).collect()).collect();
    let mut notes = vec![table.help.clone()];
    if table.truncated {
        notes.push("there are more rows".into());
    }
    Part { heading: format!("{role}: {}", table.name), notes, body: Body::Table { head, rows } }
}

fn metrics(metrics: &[Metric]) -> Option<Part> {
    let told: Vec<&Metric> =
        metrics.iter().filter(|m| m.value != 0.0 || m.count.is_some_and(|n| n > 0)).collect();
    if told.is_empty() {
        return None;
    }
    let row = |m: &&Metric| {
        let labels: Vec<String> = m.labels.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
        let value = match m.count {
            Some(count) => format!("{} in {count}", m.value),
            None => m.value.to_string(),
        };
        vec![m.name.clone(), labels.join(" "), value, m.help.clone()]
    };
    let head = ["metric", "of", "value", "is"].map(str::to_owned).into();
    let rows = told.iter().map(row).collect();
    Some(Part { heading: "Resources and counts".into(), notes: Vec::new(), body: Body::Table { head, rows } })
}

/// The last two words of a path.
fn short(path: &str) -> String {
    let words: Vec<&str> = path.split('.').collect();
    words[words.len().saturating_sub(2)..].join(".")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(members) => object(members),
        other => other.to_string(),
    }
}

fn object(members: &Map<String, Value>) -> String {
    members.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(" ")
}

/// RFC 3339 to the millisecond.
fn clock(time: &str) -> String {
    let text: String = time.chars().take(23).collect();
    text.replace('T', " ")
}
