//! What a replay comes to, in numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use remora_alert::engine::Counts;
use remora_alert::event::Event;
use remora_alert::time::SECOND;
use serde::Serialize;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

#[derive(Debug, Default, Serialize)]
pub struct Summary {
    pub events: u64,
    /// Places where events are missing.
    pub gaps: u64,
    hours: f64,
    containers: usize,
    /// Each container from its first event to its last, added up.
    container_days: f64,
    /// Before and after repetitions were folded.
    alarms_raw: u64,
    alarms: u64,
    suppressed: u64,
    incidents: u64,
    alarms_per_container_day: f64,
    incidents_per_container_day: f64,
    /// Part of the raw alarms that nobody is told of on its own.
    reduction: f64,
    /// Bytes, as the engine counts them.
    memory: usize,
    /// What was forgotten for want of room.
    evicted: BTreeMap<&'static str, u64>,
    /// How often each rule spoke.
    rules: BTreeMap<String, u64>,
    #[serde(skip)]
    seen: BTreeMap<String, (u64, u64)>,
}

impl Summary {
    pub fn event(&mut self, event: &Event) {
        self.events += 1;
        let time = event.time();
        match self.seen.get_mut(event.container()) {
            Some((first, last)) => (*first, *last) = ((*first).min(time), (*last).max(time)),
            None => {
                self.seen.insert(event.container().to_owned(), (time, time));
            }
        }
    }

    pub fn matched(&mut self, rule: &str) {
        match self.rules.get_mut(rule) {
            Some(times) => *times += 1,
            None => {
                self.rules.insert(rule.to_owned(), 1);
            }
        }
    }

    pub fn close(&mut self, counts: &Counts, incidents: u64) {
        let seconds = |ns: u64| ns as f64 / SECOND as f64;
        let (first, last) = (self.seen.values().map(|s| s.0).min(), self.seen.values().map(|s| s.1).max());
        self.hours = seconds(last.unwrap_or(0) - first.unwrap_or(0)) / 3600.0;
        self.containers = self.seen.len();
        self.container_days =
            self.seen.values().map(|(first, last)| seconds(last - first)).sum::<f64>() / DAY;
        (self.alarms_raw, self.alarms, self.suppressed) =
            (counts.alarms_raw, counts.alarms, counts.suppressed);
        (self.incidents, self.memory, self.evicted) = (incidents, counts.memory, counts.evicted.clone());
        let each = |n: u64| if self.container_days > 0.0 { n as f64 / self.container_days } else { 0.0 };
        (self.alarms_per_container_day, self.incidents_per_container_day) =
            (each(self.alarms), each(incidents));
        self.reduction =
            if self.alarms_raw > 0 { 1.0 - incidents as f64 / self.alarms_raw as f64 } else { 0.0 };
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, said: String| {
            let _ = writeln!(out, "{name:22} {said}");
        };
        line("events", format!("{} in {:.2} h, {} gaps", self.events, self.hours, self.gaps));
        line("containers", format!("{}, {:.3} container-days", self.containers, self.container_days));
        line(
            "alarms",
            format!("{} raw, {} told, {} suppressed", self.alarms_raw, self.alarms, self.suppressed),
        );
        line("incidents", self.incidents.to_string());
        let (alarms, incidents) = (self.alarms_per_container_day, self.incidents_per_container_day);
        line("per container-day", format!("{alarms:.2} alarms, {incidents:.2} incidents"));
        line("noise reduction", format!("{:.2} %", self.reduction * 100.0));
        line("memory", super::super::map::bytes(self.memory as u64));
        for (what, times) in self.evicted.iter().filter(|(_, times)| **times > 0) {
            line("forgotten", format!("{times} {what}"));
        }
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (rule, times) in rules {
            line("rule", format!("{times:7} {rule}"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(container: &str, time: &str) -> Event {
        let json = json!({"time": time, "event": {"name": "x"}, "container": {"id": container}});
        Event::new(json.as_object().cloned().unwrap_or_default()).unwrap()
    }

    #[test]
    fn rates_are_of_the_days_that_containers_were_seen() {
        let mut summary = Summary::default();
        for (container, time) in [
            ("a", "2026-01-01T00:00:00Z"),
            ("a", "2026-01-02T00:00:00Z"),
            ("b", "2026-01-01T12:00:00Z"),
            ("b", "2026-01-02T12:00:00Z"),
        ] {
            summary.event(&event(container, time));
        }
        ["x", "y", "y"].iter().for_each(|rule| summary.matched(rule));
        summary.close(&Counts { alarms_raw: 100, alarms: 4, ..Counts::default() }, 1);
        let text = summary.text();
        for said in
            ["4 in 36.00 h, 0 gaps", "2, 2.000 container-days", "2.00 alarms, 0.50 incidents", "99.00 %"]
        {
            assert!(text.contains(said), "{text}");
        }
        assert!(text.find("2 y") < text.find("1 x"), "{text}");
    }

    #[test]
    fn nothing_has_no_rates() {
        let mut summary = Summary::default();
        summary.close(&Counts::default(), 0);
        assert!(summary.text().contains("0.00 alarms, 0.00 incidents"));
    }
}
