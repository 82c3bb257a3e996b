//! What is learnt of a container while it runs: who it is, and what is wanted of it now.

use std::{collections::BTreeSet, sync::Arc};

use remora_wire::{Annotations, Notice};
use serde::{Deserialize, Serialize};

use super::Registry;
use super::container::subject;
use crate::decode::text::printable;
use crate::oci::{Identity, Learnt, OptIn};
use crate::tracer::params::Values;

/// What a manager, or the rules, say of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: String,
    pub learnt: Learnt,
    /// Which manager says so; empty if none is needed.
    pub by: &'static str,
    /// What it is to be traced with, as annotations. None: it has said so itself.
    pub keys: Option<Annotations>,
}

/// That somebody else than the container itself wanted it traced, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// The manager that knew its labels; empty if none was needed.
    pub by: String,
    pub keys: Annotations,
}

pub(super) const UNSELECTED: &str = "no longer selected";

impl Known {
    pub fn new(notice: &Notice, learnt: Learnt, by: &'static str, chosen: bool) -> Self {
        let keys = chosen.then(|| notice.annotations.clone());
        Self { id: notice.id.clone(), learnt, by, keys }
    }

    pub(super) fn choice(&self) -> Option<Choice> {
        let keys = self.keys.as_ref()?.iter().filter(|(key, _)| key.starts_with(remora_wire::KEY_PREFIX));
        let keys = keys.map(|(key, value)| (key.clone(), value.clone())).collect();
        Some(Choice { by: self.by.to_owned(), keys })
    }
}

impl Registry {
    /// Whether it is in scope; then what is known of it is as told.
    pub(super) fn known(&mut self, known: &Known) -> bool {
        let mut live = self.live.iter().filter(|(_, c)| c.ending.is_none());
        let Some(index) = live.find(|(_, c)| c.record.key.id == known.id).map(|(index, _)| *index) else {
            return false;
        };
        self.learn(index, &known.learnt);
        if let Some(choice) = known.choice() {
            self.choose(index, choice);
        }
        true
    }

    /// Those that the rules chose without asking a manager.
    pub(super) fn chosen(&self) -> Vec<Identity> {
        let live = self.live.values().filter(|c| c.ending.is_none());
        let by_rules = live.filter(|c| c.record.choice.as_ref().is_some_and(|choice| choice.by.is_empty()));
        by_rules.map(|c| c.record.identity.clone()).collect()
    }

    /// Events from here on say who it is.
    fn learn(&mut self, index: u32, learnt: &Learnt) {
        let Some(container) = self.live.get_mut(&index) else { return };
        if !container.record.identity.learn(learnt) {
            return;
        }
        container.subject = Arc::new(subject(&container.record.identity));
        self.directory.put_subject(container.record.key.cgroup, container.subject.clone());
        self.remember(index);
    }

    /// Of one that has not asked itself: what it is to be traced with from here on. What a person switched stays.
    fn choose(&mut self, index: u32, choice: Choice) {
        let Some(container) = self.live.get_mut(&index) else { return };
        let record = &mut container.record;
        if record.choice.as_ref().is_none_or(|before| before.keys == choice.keys) {
            return;
        }
        let opt_in = match OptIn::from_annotations(&choice.keys) {
            Ok(opt_in) => opt_in.unwrap_or_default(),
            Err(e) => return record.ledger.note(printable(&e.to_string())),
        };
        record.choice = Some(choice);
        record.asked.clone_from(&opt_in.tracers);
        let wanted = self.wanted_of(index);
        for name in self.having(index).difference(&wanted) {
            self.take(index, name, UNSELECTED);
        }
        if wanted.is_empty() {
            tracing::info!(container = printable(&self.live[&index].record.key.id), "{UNSELECTED}");
            return self.finish(index, UNSELECTED);
        }
        self.set_chosen_params(index, &opt_in);
        for name in wanted.difference(&self.having(index)) {
            if let Err(why) = self.give(index, name, Values::new()) {
                tracing::warn!("{why}");
            }
        }
        self.remember(index);
    }

    fn set_chosen_params(&mut self, index: u32, opt_in: &OptIn) {
        let Some(container) = self.live.get(&index) else { return };
        let mut ledger = container.record.ledger.clone();
        let params = self.own_params(opt_in, &mut ledger);
        let having = self.having(index);
        for (name, values) in &params {
            if having.contains(name)
                && let Err(why) = self.engine.set_own_params(name, index, values.clone())
            {
                ledger.note(printable(&why.to_string()));
            }
        }
        if let Some(container) = self.live.get_mut(&index) {
            container.record.ledger = ledger;
            container.record.params.extend(params);
        }
    }

    /// By what asks for it, by what a person switched, and by who holds it.
    fn wanted_of(&self, index: u32) -> BTreeSet<String> {
        let Some(container) = self.live.get(&index) else { return BTreeSet::new() };
        let record = &container.record;
        let (asked, _) = self.engine.resolve(&record.asked);
        let switched = record.switched.keys().cloned();
        let wanted = asked.into_iter().chain(switched).filter(|name| self.wants(record, name));
        wanted.chain(container.held.keys().cloned()).collect()
    }

    fn having(&self, index: u32) -> BTreeSet<String> {
        let Some(container) = self.live.get(&index) else { return BTreeSet::new() };
        let names = container.record.tracers.iter().cloned();
        names.filter(|name| self.engine.bit(name, index) != 0).collect()
    }
}
