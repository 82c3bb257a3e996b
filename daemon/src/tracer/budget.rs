//! How much a tracer may cost: events a second for each container, kept to by the kernel's part, and processor time,
//! measured now and then. A tracer that costs more is stopped.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::change::ChangeError;
use super::engine::Engine;
use super::load::Loaded;
use super::params::whole;

/// 0: no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Events a second of each container; what is more is counted as lost.
    #[serde(deserialize_with = "whole")]
    pub events: u64,
    /// Per cent of one processor, all containers and everybody else's events together.
    pub processor_percent: f64,
}

impl Budget {
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=100_000.0).contains(&self.processor_percent) {
            return Err(format!("processor_percent is {}, not 0 to 100000", self.processor_percent));
        }
        if self.events > u64::from(u32::MAX) {
            return Err(format!("events is {}, not 0 to {}", self.events, u32::MAX));
        }
        Ok(())
    }
}

/// How often processor time is measured, and for how long.
const EVERY: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Watch {
    next: Option<Instant>,
    /// Since when, and what each tracer had cost then.
    measuring: Option<(Instant, BTreeMap<String, u64>)>,
}

impl Engine {
    /// Measures what tracers with a budget of processor time cost; those that cost more than it, with why they are
    /// to be stopped, and when to look again.
    pub fn over_budget(&mut self, now: Instant) -> (Vec<(String, String)>, Option<Instant>) {
        let bounded: BTreeMap<String, f64> = self.bounded();
        if bounded.is_empty() {
            self.watch = Watch::default();
            return (Vec::new(), None);
        }
        let next = *self.watch.next.get_or_insert(now);
        if let Some((since, before)) = self.watch.measuring.take_if(|(since, _)| now - *since >= WINDOW) {
            self.watch.next = Some(now + EVERY);
            let over = self.compare(&bounded, &before, now - since);
            return (over, self.watch.next);
        }
        if let Some((since, _)) = &self.watch.measuring {
            return (Vec::new(), Some(*since + WINDOW));
        }
        if next > now {
            return (Vec::new(), Some(next));
        }
        self.counting.ask(now + WINDOW * 2);
        self.watch.measuring = Some((now, self.times(&bounded)));
        (Vec::new(), Some(now + WINDOW))
    }

    /// Attached tracers that have a bound of processor time.
    fn bounded(&self) -> BTreeMap<String, f64> {
        let attached = self.tracers.iter().filter(|(_, t)| t.links().next().is_some());
        let bound = attached.map(|(name, _)| (name.clone(), self.settings.budget(name).processor_percent));
        bound.filter(|(_, percent)| *percent > 0.0).collect()
    }

    fn times(&self, of: &BTreeMap<String, f64>) -> BTreeMap<String, u64> {
        let all = self.costs().into_iter().filter(|(name, _)| of.contains_key(name));
        all.map(|(name, costs)| (name, costs.values().map(|c| c.nanoseconds).sum())).collect()
    }

    fn compare(
        &self,
        bounded: &BTreeMap<String, f64>,
        before: &BTreeMap<String, u64>,
        window: Duration,
    ) -> Vec<(String, String)> {
        let mut over = Vec::new();
        for (name, after) in self.times(bounded) {
            let Some(spent) = before.get(&name).map(|b| after.saturating_sub(*b)) else { continue };
            let percent = spent as f64 / window.as_nanos() as f64 * 100.0;
            if percent > bounded[&name] {
                let why = format!("it took {percent:.2} % of a processor, {} % are allowed", bounded[&name]);
                over.push((name, why));
            }
        }
        over
    }

    pub fn set_budget(&mut self, name: &str, budget: Budget) -> Result<(), ChangeError> {
        self.known(name)?;
        budget.check().map_err(|e| ChangeError::Refused(format!("tracer {name}: {e}")))?;
        let kept = self.settings.set_budget(name, budget);
        kept.map_err(|e| ChangeError::Failed(format!("failed to keep the budget of tracer {name}: {e}")))?;
        let tracer = &self.tracers[name];
        if let Some(loaded) = &tracer.loaded {
            tracer.users.keys().for_each(|index| loaded.set_budget(*index, budget));
        }
        Ok(())
    }

    pub fn budget(&self, name: &str) -> Budget {
        self.settings.budget(name)
    }
}

impl Loaded {
    pub(super) fn set_budget(&self, index: u32, budget: Budget) {
        if let Some(stats) = self.stats.get(index as usize) {
            stats.budget.store(budget.events, Relaxed);
        }
    }
}
