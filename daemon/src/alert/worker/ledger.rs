//! What each container's ledger says was lost, told to the engine as it grows.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use remora_alert::engine::Engine;

use crate::registry::record::{Counts, View};

#[derive(Debug)]
pub struct Ledgers {
    /// How long what was counted of a container that ended is still shown.
    linger: Duration,
    /// By container.
    lost: HashMap<String, u64>,
    ended: Vec<(Instant, String)>,
}

impl Ledgers {
    pub fn new(linger: Duration) -> Self {
        Self { linger, lost: HashMap::new(), ended: Vec::new() }
    }

    /// Tells what was lost since it was last looked at.
    pub fn look(&mut self, engine: &mut Engine, view: &View) {
        let lost = view.ledger.tracers.values().map(Counts::lost).sum();
        let before = self.lost.insert(view.id.clone(), lost).unwrap_or(0);
        if lost > before {
            engine.lost(&view.id, lost - before);
        }
    }

    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.lost.keys().map(String::as_str)
    }

    pub fn ended(&mut self, container: &str) {
        self.lost.remove(container);
        self.ended.push((Instant::now(), container.to_owned()));
    }

    /// Those whose series are no longer shown, and that did not come again.
    pub fn forget(&mut self) -> Vec<String> {
        let Self { linger, lost, ended } = self;
        let mut gone = Vec::new();
        ended.retain(|(since, id)| {
            let stays = since.elapsed() < *linger;
            gone.extend((!stays && !lost.contains_key(id)).then(|| id.clone()));
            stays
        });
        gone
    }
}
