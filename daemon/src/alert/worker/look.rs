//! One look at a page of events, with the engine's eyes.

use std::{collections::HashMap, sync::Arc};

use remora_alert::engine::Engine;
use remora_alert::event::Event;

use crate::alert::pump::Eye;
use crate::outlet::place::Place;
use crate::tracer::plan::EventPlan;

/// Whether the engine wants such events, by the plan's address: it is held, so that no other has it.
pub type Wanted = HashMap<usize, (Arc<EventPlan>, bool)>;
/// Container and rule.
pub type Pair = (Arc<str>, Arc<str>);

pub struct Look<'w> {
    pub engine: &'w mut Engine,
    pub wanted: &'w mut Wanted,
    pub place: Option<Place>,
    pub gaps: u64,
    pub matched: HashMap<Pair, u64>,
}

impl Eye for Look<'_> {
    fn wants(&mut self, plan: &Arc<EventPlan>) -> bool {
        let engine = &self.engine;
        let ask = || (plan.clone(), engine.wants(&plan.tracer, &plan.name));
        self.wanted.entry(Arc::as_ptr(plan) as usize).or_insert_with(ask).1
    }

    fn event(&mut self, event: &Event) {
        self.engine.event(event);
        for one in self.engine.matches() {
            *self.matched.entry((one.container, one.rule)).or_default() += 1;
        }
    }

    fn gap(&mut self) {
        self.gaps += 1;
    }

    fn reached(&mut self, place: Place) {
        self.place = Some(place);
    }
}
