//! What there is to know of rules at a glance: for documents and for people.

use std::fmt::Write;

use super::{Rule, Rules};

/// Between these lines of docs/rules.md stands the table.
pub const BEGIN: &str = "<!-- rules: begin -->";
pub const END: &str = "<!-- rules: end -->";

/// A rule's tracers by name, or that it takes any.
pub fn needs(rule: &Rule) -> String {
    match rule.events {
        None => "any".to_owned(),
        Some(_) => rule.tracers.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// The document with the table of these rules, if it has a place for one.
pub fn with_table(document: &str, rules: &Rules) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n{END}{after}", table(rules)))
}

/// A table in Markdown, by id.
pub fn table(rules: &Rules) -> String {
    let mut all: Vec<_> = rules.iter().collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let mut out = "| rule | severity | tags | tracers | says |\n|---|---|---|---|---|\n".to_owned();
    for rule in all {
        let (tags, needs) = (rule.tags.join(", "), needs(rule));
        let summary = rule.summary.replace('|', "\\|").replace('{', "‹").replace('}', "›");
        let _ = writeln!(out, "| `{}` | {} | {tags} | {needs} | {summary} |", rule.id, rule.severity.name());
    }
    out
}
