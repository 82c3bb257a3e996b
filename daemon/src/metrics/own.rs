//! What the daemon tells of itself.

use super::exposition::Number;
use super::{Alerts, process};
use crate::registry::Survey;
use crate::tracer::metric::MetricType::{Counter, Gauge};
use crate::{history, otlp};

/// Numbers of the daemon itself, beside what the survey tells.
#[derive(Debug, Default)]
pub struct Gauges {
    pub history_bytes: usize,
    pub history_limit: usize,
    pub ring_bytes: u32,
    pub ring_used: u64,
    pub unattributed: u64,
    /// What became of callers of the API.
    pub slow: u64,
    pub busy: u64,
    pub foreign: u64,
    pub gaps: u64,
    /// Whether each answered when last asked.
    pub managers: Vec<(&'static str, bool)>,
    pub history: Option<history::State>,
    pub otlp: Option<otlp::State>,
    pub alerts: Option<Alerts>,
}

/// The daemon's own state and cost.
pub fn put(number: &mut impl Number, survey: &Survey, gauges: &Gauges) {
    let live = survey.containers.iter().filter(|c| c.index.is_some()).count();
    for (name, help, kind, value) in process::values() {
        number(name, help, kind, &[], value);
    }
    number("remora_build_info", "Version; always 1.", Gauge, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    number("remora_containers", "Containers in scope.", Gauge, &[], live as f64);
    let (entries, capacity) = survey.scope_entries;
    let maps = [
        ("scope", entries as f64, f64::from(capacity)),
        ("containers", live as f64, f64::from(survey.places)),
        ("ring", gauges.ring_used as f64, f64::from(gauges.ring_bytes)),
    ];
    for (map, used, room) in maps {
        number("remora_map_entries", "Entries in use; bytes for the ring.", Gauge, &[("map", map)], used);
        number("remora_map_capacity", "Room for entries; bytes for the ring.", Gauge, &[("map", map)], room);
    }
    number("remora_history_bytes", "Recent events held for replay.", Gauge, &[], gauges.history_bytes as f64);
    number(
        "remora_history_limit_bytes",
        "Bound of the recent events held.",
        Gauge,
        &[],
        gauges.history_limit as f64,
    );
    let help = "Records of a container or tracer that is not known (any more).";
    number("remora_records_unattributed_total", help, Counter, &[], gauges.unattributed as f64);
    let help = "Callers of the API that were sent away (busy, foreign) or hung up on (slow).";
    for (reason, n) in [("slow", gauges.slow), ("busy", gauges.busy), ("foreign", gauges.foreign)] {
        number("remora_api_dropped_total", help, Counter, &[("reason", reason)], n as f64);
    }
    let help = "Times that a reader of events was told that it missed some.";
    number("remora_api_gaps_total", help, Counter, &[], gauges.gaps as f64);
    if let Some(history) = &gauges.history {
        stored(number, history);
    }
    if let Some(otlp) = &gauges.otlp {
        sent(number, otlp);
    }
    if let Some(alerts) = &gauges.alerts {
        super::alerts::put(number, alerts);
    }
    for (manager, up) in &gauges.managers {
        let help = "1 if the container manager answered when it was last asked.";
        number("remora_manager_up", help, Gauge, &[("manager", manager)], f64::from(u8::from(*up)));
    }
    for t in &survey.tracers {
        for state in ["available", "loaded", "attached", "stopped", "failed"] {
            let is = f64::from(u8::from(t.state == state));
            let labels = [("tracer", t.description.name.as_str()), ("state", state)];
            number("remora_tracer_state", "1 for the state the tracer is in.", Gauge, &labels, is);
        }
        let labels = [("tracer", t.description.name.as_str())];
        for (program, cost) in &t.cost {
            let labels = [("tracer", t.description.name.as_str()), ("program", program)];
            let help = "Time the tracer's programs ran, everybody's events included, while that was counted: ask with ?cost=true.";
            let seconds = cost.nanoseconds as f64 / 1e9;
            number("remora_program_run_seconds_total", help, Counter, &labels, seconds);
            let help = "How often the tracer's programs ran while that was counted.";
            number("remora_program_runs_total", help, Counter, &labels, cost.runs as f64);
        }
        number("remora_tracer_containers", "Containers that use it.", Gauge, &labels, t.containers as f64);
    }
}

/// How storing events fares.
fn stored(number: &mut impl Number, history: &history::State) {
    let up = f64::from(u8::from(history.up));
    number("remora_history_up", "1 if events could be stored when that was last tried.", Gauge, &[], up);
    let help = "Bytes of the stored events' file and its log.";
    number("remora_history_file_bytes", help, Gauge, &[], history.bytes as f64);
    let help = "Bound of the stored events' file and its log.";
    number("remora_history_file_limit_bytes", help, Gauge, &[], history.limit as f64);
    number("remora_history_stored_total", "Events stored.", Counter, &[], history.stored as f64);
    let help = "How often events were forgotten before they could be stored.";
    number("remora_history_gaps_total", help, Counter, &[], history.gaps as f64);
    for (reason, times) in history.failures {
        let help = "How often storing events failed, by reason; it is tried again.";
        number("remora_history_failures_total", help, Counter, &[("reason", reason)], times as f64);
    }
}

/// How sending to a collector fares.
fn sent(number: &mut impl Number, otlp: &otlp::State) {
    for (signal, up) in otlp.up {
        let help = "1 if the collector took what was last sent, by signal.";
        number("remora_otlp_up", help, Gauge, &[("signal", signal)], f64::from(u8::from(up)));
    }
    number("remora_otlp_sent_total", "Events that the collector took.", Counter, &[], otlp.sent as f64);
    for (reason, events) in otlp.lost {
        let help = "Events that the collector did not want, by reason: it refused the request, or rejected them out of it.";
        number("remora_otlp_lost_total", help, Counter, &[("reason", reason)], events as f64);
    }
    let help = "How often events were forgotten before the collector could be sent them.";
    number("remora_otlp_gaps_total", help, Counter, &[], otlp.gaps as f64);
    let help = "Requests that failed and were, or are, tried again.";
    number("remora_otlp_failures_total", help, Counter, &[], otlp.failures as f64);
}
