//! Folding and incidents over the AIT Alert Data Set (Landauer et al., GPL-3.0): alerts of whole simulated networks, several
//! days each, with attacks in phases. `cargo run --release --example ait -- FILE…`, with the set's `*_alerts.txt`.
//!
//! A host stands for a container, a detector's signature for a rule. Lineage it has none: what is measured is how much is
//! folded, and how many of the phases of the attacks are still there after that. Signatures have no severities there either; each is low,
//! and the incident's score comes of how many different ones there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use remora_alert::engine::{Engine, Settings, Told};
use remora_alert::event::Event;
use remora_alert::meaning::Meanings;
use remora_alert::rules::{Rules, Source};
use remora_alert::time::{self, SECOND};
use serde_json::json;

struct Alert {
    second: u64,
    name: String,
    host: String,
    /// The phase of the attack that it came up in.
    phase: Option<String>,
}

fn read(path: &str) -> Vec<Alert> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("failed to read {path}: {e}"));
    let alert = |line: &str| {
        // The name may have commas; behind it are five more fields.
        let mut fields = line.rsplitn(6, ',');
        let (_, phase, _, host, _) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (second, name) = fields.next()?.split_once(',')?;
        let phase = (phase != "false_positive").then(|| phase.to_owned());
        Some(Alert { second: second.parse().ok()?, name: name.to_owned(), host: host.to_owned(), phase })
    };
    let mut alerts: Vec<Alert> = text.lines().filter_map(alert).collect();
    alerts.sort_by_key(|alert| alert.second);
    alerts
}

/// One rule for each signature.
fn rules(alerts: &[Alert]) -> (Rules, BTreeMap<String, String>) {
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    let mut text = "rules:\n".to_owned();
    let mut ids = BTreeMap::new();
    for (number, name) in names.into_iter().enumerate() {
        let id = format!("signature-{number}");
        let quoted = serde_json::to_string(name).expect("a name as JSON");
        let summary = serde_json::to_string(name.trim_end_matches('.')).expect("a name as JSON");
        let condition =
            serde_json::to_string(&format!("alert.name == {quoted}")).expect("a condition as JSON");
        text += &format!(
            "  - {{id: {id}, summary: {summary}, description: x, severity: low, condition: {condition}}}\n"
        );
        ids.insert(name.to_owned(), id);
    }
    let (rules, problems) = Rules::compile(&[Source { name: "signatures".to_owned(), text }], None);
    assert!(problems.is_empty(), "{problems:?}");
    (rules, ids)
}

fn event(alert: &Alert) -> Event {
    let json = json!({"time": time::format(alert.second * SECOND), "event": {"name": "alert", "tracer": "ait"},
        "container": {"id": alert.host, "name": alert.host}, "alert": {"name": alert.name}});
    Event::new(json.as_object().cloned().unwrap_or_default()).expect("an event")
}

#[derive(Default)]
struct Sum {
    alerts: usize,
    told: usize,
    incidents: usize,
    host_days: f64,
    /// Phases there were, kept as an alarm, within an incident, and as either.
    phases: [usize; 4],
}

fn run(path: &str) -> Sum {
    let alerts = read(path);
    let (rules, ids) = rules(&alerts);
    let mut engine = Engine::new(Settings::default(), rules, Meanings::default());
    let mut sum = Sum { alerts: alerts.len(), ..Sum::default() };
    let (mut kept, mut incidents) = (BTreeSet::new(), BTreeMap::new());
    for alert in &alerts {
        engine.event(&event(alert));
        for told in engine.told() {
            match told {
                Told::Alarm(_) => {
                    sum.told += 1;
                    kept.extend(alert.phase.clone());
                }
                Told::Incident(incident) => drop(incidents.insert(incident.id.clone(), incident)),
            }
        }
    }
    engine.tick((alerts.last().map_or(0, |alert| alert.second) + 86_400) * SECOND);
    for told in engine.told() {
        if let Told::Incident(incident) = told {
            incidents.insert(incident.id.clone(), incident);
        }
    }
    let covers = |alert: &&Alert| {
        let when = time::format(alert.second * SECOND);
        incidents.values().any(|incident| {
            let there =
                incident.subjects.iter().any(|subject| subject["container"]["id"] == alert.host.as_str());
            there
                && (incident.first <= when && when <= incident.last)
                && incident.rules.contains(&ids[&alert.name])
        })
    };
    let phases: BTreeSet<&String> = alerts.iter().filter_map(|alert| alert.phase.as_ref()).collect();
    let told =
        |phase: &&&String| alerts.iter().filter(|a| a.phase.as_ref() == Some(**phase)).any(|a| covers(&a));
    let in_incidents: Vec<&&String> = phases.iter().filter(told).collect();
    let either = phases.iter().filter(|phase| kept.contains(**phase) || in_incidents.contains(phase)).count();
    sum.phases = [phases.len(), kept.len(), in_incidents.len(), either];
    sum.incidents = incidents.len();
    let hosts: BTreeSet<&str> = alerts.iter().map(|alert| alert.host.as_str()).collect();
    let seconds = alerts.last().map_or(0, |a| a.second) - alerts.first().map_or(0, |a| a.second);
    sum.host_days = hosts.len() as f64 * seconds as f64 / 86_400.0;
    sum
}

fn main() {
    let mut all = Sum::default();
    for path in std::env::args().skip(1) {
        let sum = run(&path);
        print(&path, &sum);
        all.alerts += sum.alerts;
        all.told += sum.told;
        all.incidents += sum.incidents;
        all.host_days += sum.host_days;
        (0..4).for_each(|n| all.phases[n] += sum.phases[n]);
    }
    print("all", &all);
}

fn print(what: &str, sum: &Sum) {
    let cut = |left: usize| 100.0 * (1.0 - left as f64 / sum.alerts as f64);
    let [phases, kept, told, either] = sum.phases;
    println!(
        "{what}: {} alerts; told {} ({:.2} % less, {:.1} per host-day), phases {kept} of {phases}; \
         incidents {} ({:.3} % less, {:.2} per host-day), phases {told} of {phases}; \
         either {either} of {phases}",
        sum.alerts,
        sum.told,
        cut(sum.told),
        sum.told as f64 / sum.host_days,
        sum.incidents,
        cut(sum.incidents),
        sum.incidents as f64 / sum.host_days,
    );
}
