//! A rule, compiled.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;

use super::rate::Rate;
use crate::alarm::Severity;
use crate::event::Event;
use crate::expression::{Expression, View};

/// Longest value in a summary, in characters.
const VALUE_MAX: usize = 120;

#[derive(Debug, Clone)]
pub struct Rule {
    pub id: Arc<str>,
    /// One sentence without a full stop; `{path}` stands for a member of the event.
    pub summary: String,
    pub description: String,
    pub severity: Severity,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// As it is written.
    pub condition: String,
    pub exceptions: Vec<Exception>,
    pub rate: Option<Rate>,
    /// Names of the events that it can be true of; any without.
    pub events: Option<BTreeSet<String>>,
    /// The tracers that have these; empty where that is not known.
    pub tracers: BTreeSet<String>,
    pub(super) holds: Expression,
}

#[derive(Debug, Clone)]
pub struct Exception {
    pub condition: String,
    pub reason: String,
    pub(super) holds: Expression,
}

impl Rule {
    pub(super) fn holds<'e>(&'e self, view: &View<'e>) -> bool {
        self.holds.holds(view) && !self.exceptions.iter().any(|e| e.holds.holds(view))
    }

    /// The summary with what the event says in it.
    pub fn told(&self, event: &Event) -> String {
        let mut out = String::new();
        for (before, path) in placeholders(&self.summary) {
            out.push_str(before);
            if let Some(value) = path.and_then(|path| event.get(path)) {
                put(&mut out, value);
            }
        }
        out
    }
}

/// Pieces of a text, each with the placeholder that follows it.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = rest.find('{').and_then(|from| Some((from, from + rest[from..].find('}')?)));
        let (piece, after) = match found {
            Some((from, to)) => ((&rest[..from], Some(&rest[from + 1..to])), &rest[to + 1..]),
            None => ((rest, None), ""),
        };
        rest = after;
        Some(piece)
    })
}

/// Nothing that a terminal would obey.
fn put(out: &mut String, value: &Value) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            all.iter().map(word).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    for c in text.chars().take(VALUE_MAX) {
        // Marks of direction and the like are shown, too: what is read is what is there.
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || hidden {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(VALUE_MAX).is_some() {
        out.push('…');
    }
}
