//! What the alert layer tells of itself, and of each container what rules spoke.

use remora_alert::alarm::Severity;

use super::exposition::Number;
use crate::alert::{Figures, OutputState};
use crate::tracer::metric::MetricType::{Counter, Gauge};

/// The alert layer at one moment.
#[derive(Debug)]
pub struct Alerts {
    pub figures: Figures,
    pub outputs: Vec<OutputState>,
}

pub fn put(number: &mut impl Number, alerts: &Alerts) {
    let Figures { counts, alarms, incidents, gaps, problems, profiles, .. } = &alerts.figures;
    let help = "Alarms told: what a rule said of an event, or what no profile knows. Repetitions are counted, not told.";
    for (kind, severity) in ["rule", "novelty"].into_iter().flat_map(|k| Severity::ALL.map(|s| (k, s))) {
        let labels = [("kind", kind), ("severity", severity.name())];
        let told = alarms.get(&(kind, severity)).copied().unwrap_or(0);
        number("remora_alarms_total", help, Counter, &labels, told as f64);
    }
    let help = "Alarms that were counted only, since the like of them had been told.";
    number("remora_alarms_suppressed_total", help, Counter, &[], counts.suppressed as f64);
    let help = "Incidents told, by the severity that they had first.";
    for severity in Severity::ALL {
        let told = incidents.get(&severity).copied().unwrap_or(0);
        number("remora_incidents_total", help, Counter, &[("severity", severity.name())], told as f64);
    }
    let help = "Incidents to which more may come, those included that are too light to be told.";
    number("remora_incidents_open", help, Gauge, &[], counts.open_incidents as f64);
    let help = "Events that rules and profiles looked at.";
    number("remora_alert_events_total", help, Counter, &[], counts.events as f64);
    let help = "How often events were forgotten before they were looked at.";
    number("remora_alert_gaps_total", help, Counter, &[], *gaps as f64);
    let help = "What the alert layer forgot for want of room, by what it was.";
    for (what, n) in &counts.evicted {
        number("remora_alert_evicted_total", help, Counter, &[("what", what)], *n as f64);
    }
    let help = "Memory of rules, profiles and incidents, as far as it is counted.";
    number("remora_alert_memory_bytes", help, Gauge, &[], counts.memory as f64);
    let help = "What is wrong with the files of rules.";
    number("remora_rule_problems", help, Gauge, &[], problems.len() as f64);
    for state in ["learning", "probation", "converged", "pinned"] {
        let known = profiles.get(state).copied().unwrap_or(0);
        number("remora_profiles", "Learned profiles, by state.", Gauge, &[("state", state)], known as f64);
    }
    alerts.outputs.iter().for_each(|output| sent(number, output));
}

fn sent(number: &mut impl Number, output: &OutputState) {
    let labels = [("output", output.name.as_str())];
    let help = "0 if the output did not take what it was last sent.";
    number("remora_alert_output_up", help, Gauge, &labels, f64::from(u8::from(output.up)));
    let help = "Incidents that the output took, each telling of one.";
    number("remora_alert_output_sent_total", help, Counter, &labels, output.sent as f64);
    let help =
        "Incidents that the output did not get: it refused them, or there was no room for all that waited.";
    number("remora_alert_output_dropped_total", help, Counter, &labels, output.dropped as f64);
    let help = "Sendings that failed and were, or are, tried again.";
    number("remora_alert_output_failures_total", help, Counter, &labels, output.failures as f64);
    let help = "What waits to be sent, in bytes.";
    number("remora_alert_output_queue_bytes", help, Gauge, &labels, output.bytes as f64);
}
