//! For those who write rules and profiles: which harmless acts are alarmed of, and which steps are not. Of the tuning side alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::judge::{Raw, container_of, time_of};
use crate::labels::{Recording, Set};
use crate::run::Outcome;
use crate::side::side;

fn shown(raw: &Raw) -> String {
    let text = |pointer: &str| {
        let mut at = None;
        for part in pointer.split('.') {
            at = at.map_or_else(|| raw.event.get(part), |v: &serde_json::Value| v.get(part));
        }
        at.map(ToString::to_string).unwrap_or_default()
    };
    let parts = [
        "event.name",
        "process.comm",
        "process.executable.path",
        "process.command_args",
        "file.path",
        "open.flags",
        "network.peer.address",
        "network.peer.port",
        "dns.question.name",
    ];
    parts.iter().map(|p| text(p)).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
}

pub fn write(recording: &Recording, outcome: &Outcome) -> String {
    let mut out = String::from("# Harmless on the tuning side, and alarmed of\n\n");
    let mut kinds: BTreeMap<(String, String, String), (usize, bool, String)> = BTreeMap::new();
    let benign = |r: &&Raw| {
        recording.set_of(&r.container) == Some(Set::Tuning) && !recording.is_attacked(&r.container, r.time)
    };
    for raw in outcome.heard.raw.iter().filter(benign) {
        let name = recording.name_of(&raw.container);
        let act = recording.acts(name, raw.time).next().map_or("load", |act| act.what.as_str());
        let rules = if raw.rules.is_empty() { "novelty".to_owned() } else { raw.rules.join("+") };
        let image = recording.container(&raw.container).map_or("", |c| &c.image);
        let kind = kinds.entry((rules, act.to_owned(), image.to_owned())).or_default();
        kind.0 += 1;
        kind.1 |= outcome.heard.incidents_of(raw).next().is_some();
        kind.2 = shown(raw);
    }
    for ((rules, act, image), (count, told, example)) in kinds {
        let told = if told { " **in an incident**" } else { "" };
        let _ = writeln!(out, "- {rules} | {act} | {image} | {count}{told} | `{example}`");
    }
    out += "\n# The same after folding, by class\n\n";
    let mut classes: BTreeMap<(String, &str), (u64, String)> = BTreeMap::new();
    for alarm in &outcome.heard.alarms {
        let (container, time) = (container_of(alarm), time_of(alarm));
        if recording.set_of(container) != Some(Set::Tuning) || recording.is_attacked(container, time) {
            continue;
        }
        let act =
            recording.acts(recording.name_of(container), time).next().map_or("load", |act| act.what.as_str());
        let class = classes.entry((alarm.rule.clone(), act)).or_default();
        class.0 += 1;
        class.1 = format!("{} (score {:.1}): {}", recording.name_of(container), alarm.score, alarm.summary);
    }
    for ((rule, act), (count, example)) in classes {
        let _ = writeln!(out, "- {rule} | {act} | {count} | {example}");
    }
    out += "\n# Incidents that are false, on the tuning side\n\n";
    for incident in outcome.heard.incidents.values() {
        let ours =
            crate::judge::sides(incident).into_iter().any(|id| recording.set_of(id) == Some(Set::Tuning));
        if ours && crate::judge::is_false(recording, incident) {
            let _ = writeln!(
                out,
                "- {} {} {:?}: {}",
                incident.score, incident.title, incident.rules, incident.text
            );
        }
    }
    out += "\n# Steps of attacks on the tuning side that are missed\n\n";
    for missed in side(recording, outcome, Set::Tuning).missed {
        let _ = writeln!(out, "- {missed}");
    }
    out
}
