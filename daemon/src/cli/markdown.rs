//! A tracer's description as Markdown: the reference in `docs/` is made of these, and anybody's own can be.

use std::fmt::Write;

use crate::tracer::Description;
use crate::tracer::contract::{EventDescription, FieldDescription, MetricDescription, TableDescription};
use crate::tracer::params::Param;

/// A section of its own.
pub fn describe(d: &Description) -> String {
    let mut out = format!("## {}\n\n{}.", d.name, capital(&d.help));
    if !d.groups.is_empty() {
        let groups: Vec<String> = d.groups.iter().map(|g| format!("`{g}`")).collect();
        let _ = write!(out, " In {}.", groups.join(", "));
    }
    out += "\n";
    d.events.iter().for_each(|e| event(&mut out, e));
    d.tables.iter().for_each(|t| rows(&mut out, t));
    if !d.metrics.is_empty() {
        let row = |m: &MetricDescription| {
            let labels: Vec<String> = m.labels.iter().map(|l| format!("`{l}`")).collect();
            vec![format!("`{}`", m.name), m.kind.to_owned(), labels.join(", "), cell(&m.help)]
        };
        table(&mut out, &["metric", "type", "labels", "means"], d.metrics.iter().map(row));
    }
    if !d.params.is_empty() {
        let row = |p: &Param| {
            let of = if p.per_container { "container" } else { "tracer" };
            vec![format!("`{}`", p.name), of.to_owned(), p.default.to_string(), p.range(), cell(&p.help)]
        };
        table(&mut out, &["parameter", "of each", "standard", "range", "means"], d.params.iter().map(row));
    }
    programs(&mut out, d);
    out
}

fn event(out: &mut String, event: &EventDescription) {
    let _ = write!(out, "\n**Event `{}`**: {}.\n", event.name, event.help);
    fields(out, &event.fields);
}

fn rows(out: &mut String, t: &TableDescription) {
    let flow = if t.flow { " Who talks to whom: the network map is drawn from it." } else { "" };
    let _ = write!(out, "\n**Table `{}`**: {}.{flow}\n", t.name, t.help);
    fields(out, &t.fields);
}

fn fields(out: &mut String, all: &[FieldDescription]) {
    let row = |f: &FieldDescription| {
        let notes = [(f.optional, "left out when empty"), (f.feature, "behaviour")];
        let notes: Vec<&str> = notes.iter().filter(|(is, _)| *is).map(|(_, n)| *n).collect();
        let means = cell(&f.help);
        let means = if notes.is_empty() { means } else { format!("{means} ({})", notes.join(", ")) };
        vec![format!("`{}`", f.name), f.kind.to_owned(), means]
    };
    table(out, &["field", "type", "means"], all.iter().map(row));
}

/// What of the kernel it attaches to: its needs.
fn programs(out: &mut String, d: &Description) {
    if d.programs.is_empty() {
        *out += "\nNo program: all is read from files of the container's cgroups.\n";
        return;
    }
    let rows = d.programs.iter().map(|p| {
        let choice = match &p.oneof {
            Some((group, rank)) => format!("choice {rank} for {group}"),
            None if p.optional => "where the kernel allows it".to_owned(),
            None => "always".to_owned(),
        };
        vec![format!("`{}`", p.name), format!("`{}`", p.section), choice]
    });
    table(out, &["program", "attaches to", "used"], rows);
}

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = write!(out, "\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
