//! Members that events have, by what their tracers say.

use std::collections::{BTreeMap, BTreeSet};

use crate::meaning::Meanings;

/// Of each event, whoever traces it.
const ALWAYS: [&str; 13] = [
    "time",
    "event.name",
    "event.tracer",
    "event.cursor",
    "container.id",
    "container.name",
    "container.runtime",
    "container.image.name",
    "container.image.id",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.pod.label",
    "k8s.namespace.name",
];

#[derive(Debug, Default)]
pub struct Known {
    /// By event: tracers, each with the paths of its fields.
    events: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl Known {
    pub fn new(meanings: &Meanings) -> Self {
        let mut known = Self::default();
        for (tracer, event, meaning) in meanings.iter() {
            let paths = meaning.fields.iter().map(|field| field.path.clone()).collect();
            known.events.entry(event.to_owned()).or_default().insert(tracer.to_owned(), paths);
        }
        known
    }

    /// Those that have an event of one of these names.
    pub fn tracers(&self, events: Option<&BTreeSet<String>>) -> BTreeSet<String> {
        self.of(events).flat_map(|(_, tracers)| tracers.keys().cloned()).collect()
    }

    pub fn unknown_event<'n>(&self, events: Option<&'n BTreeSet<String>>) -> Option<&'n String> {
        events.into_iter().flatten().find(|name| !self.events.contains_key(*name))
    }

    /// Whether any event of these names can have it, or something below.
    pub fn has(&self, path: &str, events: Option<&BTreeSet<String>>) -> bool {
        if path.starts_with("k8s.pod.label.") || ALWAYS.iter().any(|known| begins(known, path)) {
            return true;
        }
        let whole = path.strip_suffix("_truncated").unwrap_or(path);
        let mut fields = self.of(events).flat_map(|(_, tracers)| tracers.values().flatten());
        fields.any(|field| begins(field, path) || field == whole)
    }

    fn of<'k>(
        &'k self,
        events: Option<&'k BTreeSet<String>>,
    ) -> impl Iterator<Item = (&'k String, &'k BTreeMap<String, Vec<String>>)> {
        self.events.iter().filter(move |(name, _)| events.is_none_or(|names| names.contains(*name)))
    }
}

fn begins(whole: &str, with: &str) -> bool {
    whole.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
