use std::fmt::Write;

use serde_json::Value;

use crate::behaviour::Behaviour;
use crate::profile::course::Course;
use crate::profile::entry::Entry;
use crate::profile::one::{Phase, Profile};
use crate::profile::pending::Waiting;
use crate::time::{self, SECOND};
use crate::yaml;

pub fn write(profile: &Profile) -> String {
    let mut out = Out(String::new());
    head(&mut out, profile);
    out.line(0, "courses:");
    for phase in Phase::ALL {
        out.line(2, &format!("{}: {}", phase.name(), course(&profile.phases[phase as usize].course)));
    }
    entries(&mut out, profile);
    let waiting = profile.pending.sorted();
    if !waiting.is_empty() {
        out.line(0, "# Not believed yet: of too few containers.");
        out.line(0, "waiting:");
        waiting.iter().for_each(|w| out.line(2, &format!("- {}", one_waiting(w))));
    }
    out.0
}

fn head(out: &mut Out, profile: &Profile) {
    out.line(0, &format!("remora-profile: {}", super::VERSION));
    out.line(0, &format!("image: {}", quoted(&profile.key.image)));
    out.line(0, &format!("digest: {}", quoted(&profile.key.digest)));
    out.line(0, &format!("role: {}", quoted(&profile.key.role)));
    if profile.pinned {
        out.line(0, "pinned: true");
    }
    let (from, to) = (day_time(profile.first), day_time(profile.last));
    out.line(0, &format!("learned: {{from: {from}, to: {to}}}"));
    out.line(0, &format!("containers: {}", profile.containers));
    out.line(0, &format!("events: {}", profile.events));
    if let Some(before) = &profile.inherited {
        let (digest, since) = (quoted(&before.digest), day_time(before.since));
        out.line(0, &format!("predecessor: {{digest: {digest}, since: {since}}}"));
    }
}

fn course(course: &Course) -> String {
    let Course { since, events, runs, converged, .. } = course;
    let converged = converged.map_or_else(String::new, |at| format!(", converged: {}", day_time(at)));
    format!("{{since: {}, events: {events}, runs: {runs}{converged}}}", day_time(*since))
}

fn entries(out: &mut Out, profile: &Profile) {
    out.line(0, "phases:");
    let mut last: Vec<String> = Vec::new();
    profile.walk(&mut |phase, b, entry| {
        let names = [phase.name().to_owned(), b.class.clone(), b.operation.clone(), b.role.clone()];
        let same = names.iter().zip(&last).take_while(|(a, b)| a == b).count();
        for (depth, name) in names.iter().enumerate().skip(same) {
            out.line(2 * depth + 2, &format!("{}:", quoted(name)));
        }
        last = names.to_vec();
        out.line(10, &format!("- {{{}}}", kept(&b, entry)));
    });
}

fn kept(b: &Behaviour, entry: &Entry) -> String {
    let parts: Vec<_> = b.parts.iter().map(|part| quoted(part)).collect();
    let by: Vec<_> = entry.replicas.iter().map(|who| format!("\"{who:04x}\"")).collect();
    let [first, last] = [entry.first, entry.last].map(|at| day_time(u64::from(at) * SECOND));
    let (parts, count, by) = (parts.join(", "), entry.count, by.join(", "));
    format!("at: [{parts}], count: {count}, first: {first}, last: {last}, by: [{by}]")
}

fn one_waiting(w: &Waiting) -> String {
    let [class, operation, role] =
        [&w.behaviour.class, &w.behaviour.operation, &w.behaviour.role].map(|n| quoted(n));
    let (phase, kept, days, early) = (w.phase.name(), kept(&w.behaviour, &w.entry), w.days, w.early);
    format!(
        "{{phase: {phase}, class: {class}, operation: {operation}, role: {role}, {kept}, days: {days}, early: {early}}}"
    )
}

/// In whole seconds; `""` for none.
fn day_time(at: u64) -> String {
    match at {
        0 => "\"\"".to_owned(),
        at => format!("\"{}Z\"", &time::format(at)[..19]),
    }
}

/// Bare where neither braces nor brackets nor a key's place give it another meaning.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let written = yaml::write(&Value::from(text));
    let written = written.trim_end_matches('\n');
    if written.starts_with('"') || first && text.chars().all(plain) {
        return written.to_owned();
    }
    format!("\"{written}\"")
}

struct Out(String);

impl Out {
    fn line(&mut self, indent: usize, text: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }
}
