//! The figures of one side: images and attacks that were tuned with, or those that were not.

use crate::judge::{self, Habits, Seen};
use crate::labels::{Recording, Set};
use crate::run::Outcome;

#[derive(Debug, Clone, Default)]
pub struct Side {
    pub days: f64,
    pub containers: usize,
    /// Of what is no attack.
    pub alarms: usize,
    pub incidents: usize,
    /// Attacks' included.
    pub raw: usize,
    pub incidents_all: usize,
    pub suppressed: usize,
    pub suppressed_benign: usize,
    pub attacks: usize,
    pub detected: usize,
    pub steps: usize,
    pub steps_raw: usize,
    pub steps_kept: usize,
    /// Attack and step, where nothing was heard.
    pub missed: Vec<String>,
}

pub fn side(recording: &Recording, outcome: &Outcome, set: Set) -> Side {
    let heard = &outcome.heard;
    let of_set = |id: &str| recording.set_of(id) == Some(set);
    let mut side = Side { days: recording.container_days(set), ..Side::default() };
    side.containers = recording.labels.containers.iter().filter(|c| of_set(&c.id)).count();
    let harmless =
        |a: &&remora_alert::alarm::Alarm| !recording.is_attacked(judge::container_of(a), judge::time_of(a));
    side.alarms = heard.alarms.iter().filter(|a| of_set(judge::container_of(a))).filter(harmless).count();
    for incident in heard.incidents.values().filter(|i| judge::sides(i).into_iter().any(of_set)) {
        side.incidents_all += 1;
        side.incidents += usize::from(judge::is_false(recording, incident));
    }
    let habits = Habits::of(recording, heard);
    for raw in heard.raw.iter().filter(|r| of_set(&r.container)) {
        side.raw += 1;
        if heard.incidents_of(raw).next().is_none() {
            side.suppressed += 1;
            let harmless = !recording.is_attacked(&raw.container, raw.time) || habits.explain(recording, raw);
            side.suppressed_benign += usize::from(harmless);
        }
    }
    for attack in recording.labels.attacks.iter().filter(|a| a.set == set) {
        let seen: Vec<_> = attack.steps.iter().map(|s| judge::step(recording, heard, &habits, s)).collect();
        side.attacks += 1;
        side.detected += usize::from(seen.iter().any(|s| s.incident));
        for (step, Seen { raw, incident }) in attack.steps.iter().zip(seen) {
            side.steps += 1;
            side.steps_raw += usize::from(raw);
            side.steps_kept += usize::from(raw && incident);
            if !raw || !incident {
                let what = if raw { "not in an incident" } else { "no alarm" };
                side.missed.push(format!("{} {}: {what}", attack.id, step.step));
            }
        }
    }
    side
}
