//! The table, and its place in the document.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use remora_alert::rules::Source;
use sha2::{Digest, Sha256};

use crate::Result;
use crate::labels::{Recording, Set};
use crate::run::Outcome;
use crate::side::{Side, side};

const BEGIN: &str = "<!-- figures: make eval -->";
const END: &str = "<!-- end of figures -->";
/// Events a second at which the cost is told.
const RATE: f64 = 1100.0;

fn share(part: usize, all: usize) -> String {
    if all == 0 {
        "–".to_owned()
    } else {
        format!("{:.1} % ({part} of {all})", 100.0 * part as f64 / all as f64)
    }
}

fn daily(count: usize, days: f64) -> String {
    format!("{:.1} ({count} in {days:.2} days)", count as f64 / days.max(1e-9))
}

/// A file's hash as the recording's name.
fn hash(path: &Path) -> String {
    let out = Command::new("sha256sum").arg(path).output().map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&out).chars().take(16).collect()
}

fn hash_of(sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    for source in sources {
        hash.update(&source.name);
        hash.update(&source.text);
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

fn row(out: &mut String, measure: &str, floor: &str, goal: &str, figures: [String; 2]) {
    let _ = writeln!(out, "| {measure} | {floor} | {goal} | {} | {} |", figures[0], figures[1]);
}

fn detection(out: &mut String, sides: &[Side; 2]) {
    let both = |f: fn(&Side) -> String| [f(&sides[0]), f(&sides[1])];
    row(
        out,
        "alarms after dedup, of what is no attack",
        "4.8 per host-day",
        "≤ 1 per container-day",
        both(|s| daily(s.alarms, s.days)),
    );
    row(
        out,
        "incidents of what is no attack",
        "0.71 per host-day",
        "≤ 0.1 per container-day",
        both(|s| daily(s.incidents, s.days)),
    );
    let reduction = |s: &Side| {
        format!(
            "{:.2} % ({} to {})",
            100.0 * (1.0 - s.incidents_all as f64 / s.raw.max(1) as f64),
            s.raw,
            s.incidents_all
        )
    };
    row(out, "noise reduction, raw alarms to incidents", "95 %", "≥ 99 %", both(reduction));
    row(
        out,
        "suppressed alarms that were truly benign",
        "99 %",
        "≥ 99.5 %",
        both(|s| share(s.suppressed_benign, s.suppressed)),
    );
    row(
        out,
        "attack steps with a raw alarm that end up in an incident",
        "–",
        "100 %",
        both(|s| share(s.steps_kept, s.steps_raw)),
    );
    row(out, "attacks detected", "100 %", "100 %", both(|s| share(s.detected, s.attacks)));
    row(out, "attack steps with a raw alarm", "–", "≥ 95 %", both(|s| share(s.steps_raw, s.steps)));
    row(out, "attack steps in an incident", "–", "≥ 95 %", both(|s| share(s.steps_kept, s.steps)));
}

fn costs(out: &mut String, outcome: &mut Outcome) {
    let mib = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let each = outcome.processor.as_secs_f64() / outcome.costed.max(1) as f64;
    let busy = |text: String| [text, "the same run".to_owned()];
    row(
        out,
        "memory at the end (most while it ran)",
        "5.5 MB; 340 MB",
        "≤ 12 MB typical, ≤ 32 MB worst",
        busy(format!("{} ({})", mib(outcome.heap), mib(outcome.heap_most))),
    );
    row(
        out,
        "processor at 1.1k events/s",
        "15 % of a core",
        "≤ 2 %",
        busy(format!("{:.2} % ({:.1} µs an event)", 100.0 * each * RATE, each * 1e6)),
    );
    let (p99, told) = (outcome.times.percentile(99), outcome.telling.percentile(99));
    row(
        out,
        "rule latency, p99",
        "10 s",
        "≤ 1 s",
        busy(format!("{:.3} ms; {:.3} ms of what told", p99.as_secs_f64() * 1e3, told.as_secs_f64() * 1e3)),
    );
    let worst = outcome.delays.iter().max().copied().unwrap_or(0) as f64 / 1e9;
    row(out, "graph latency, worst", "10 s", "≤ 12 s", busy(format!("{worst:.1} s of event time")));
}

pub fn report(
    recording: &Recording,
    learn: &[Recording],
    sources: &[Source],
    outcome: &mut Outcome,
    rounds: u32,
) -> String {
    let sides = [Set::Tuning, Set::HeldOut].map(|set| side(recording, outcome, set));
    let mut out =
        String::from("| measure | floor (published) | goal | tuning | held out |\n|---|---|---|---|---|\n");
    detection(&mut out, &sides);
    costs(&mut out, outcome);
    let labels = &recording.labels;
    let kinds: std::collections::BTreeSet<_> = labels.images.values().map(|i| &i.kind).collect();
    let acts = |what: &str| labels.benign.iter().filter(|a| a.what == what).count();
    let _ = writeln!(
        out,
        "\n{} events of {} containers ({} tuning, {} held out) of {} images and {} kinds, {} of them lost to gaps; recorded {} with seed {} on \
         kernel {}. Harmless acts in it: {} probes, {} sessions, {} updates, {} builds, {} jobs.",
        outcome.events,
        labels.containers.len(),
        sides[0].containers,
        sides[1].containers,
        labels.images.len(),
        kinds.len(),
        outcome.gaps,
        labels.date,
        labels.seed,
        labels.kernel,
        acts("probe"),
        acts("session"),
        acts("update"),
        acts("build"),
        acts("batch"),
    );
    let _ = writeln!(
        out,
        "Profiles after learning ({rounds} rounds, {} events): {:?}. Problems of rules: {}.",
        outcome.learned_events, outcome.profiles, outcome.problems
    );
    let evicted: Vec<_> = outcome.counts.evicted.iter().filter(|(_, count)| **count > 0).collect();
    let _ = writeln!(out, "Forgotten for want of room, learning included: {evicted:?}.");
    let _ = write!(out, "SHA-256, beginnings: rules `{}`", hash_of(sources));
    for one in learn.iter().chain([recording]) {
        let _ = write!(
            out,
            ", seed {} events `{}` labels `{}`",
            one.labels.seed,
            hash(&one.events()),
            hash(&one.folder.join("labels.json"))
        );
    }
    let _ = writeln!(out, ".\n\nHeld out, and missed:\n");
    for missed in &sides[1].missed {
        let _ = writeln!(out, "- {missed}");
    }
    out
}

/// Between the marks of the document.
pub fn put(path: &Path, report: &str) -> Result<()> {
    let text = fs::read_to_string(path).map_err(|e| format!("failed to read {}: {e}", path.display()))?;
    let marks = text.find(BEGIN).zip(text.find(END)).filter(|(begin, end)| begin < end);
    let (begin, end) = marks.ok_or_else(|| format!("failed to find the marks in {}", path.display()))?;
    let text = format!("{}{BEGIN}\n\n{report}\n{}", &text[..begin], &text[end..]);
    fs::write(path, text).map_err(|e| format!("failed to write {}: {e}", path.display()))
}
