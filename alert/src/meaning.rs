//! What tracers say of their events: which members make behaviour, and what kind of value each is. Nothing here names a
//! tracer; a third party's takes part by its own description.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::packed;

/// A member by its dotted path, and the type that the tracer gives it (`path`, `address`, `port`, `strings`, `enum`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub path: String,
    pub kind: String,
    pub feature: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventMeaning {
    /// What it is in a report (`executed`, `opened`, `connected`, …): the class of its behaviour; the event's name without one.
    pub class: String,
    pub fields: Vec<Field>,
}

impl EventMeaning {
    pub fn features(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|f| f.feature)
    }
}

/// By tracer and event.
#[derive(Debug, Clone, Default)]
pub struct Meanings(BTreeMap<String, BTreeMap<String, EventMeaning>>);

impl Meanings {
    /// Of the tracers that are part of remora.
    pub fn shipped() -> Self {
        Self::of_tracers(&packed::read(include_bytes!(concat!(env!("OUT_DIR"), "/tracers.deflate"))))
    }

    /// Of the answer of `GET /v1/tracers`; what is not understood says nothing.
    pub fn of_tracers(tracers: &Value) -> Self {
        let mut all = Self::default();
        for tracer in tracers.as_array().into_iter().flatten() {
            let name = tracer["name"].as_str().unwrap_or_default();
            for event in tracer["events"].as_array().into_iter().flatten() {
                all.add(name, event);
            }
        }
        all
    }

    fn add(&mut self, tracer: &str, event: &Value) {
        let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
        let fields = event["fields"].as_array().into_iter().flatten().map(|f| Field {
            path: text(f, "name"),
            kind: text(f, "type"),
            feature: f["feature"].as_bool().unwrap_or(false),
        });
        let name = text(event, "name");
        let class = event["report"].as_str().unwrap_or(&name).to_owned();
        let meaning = EventMeaning { class, fields: fields.collect() };
        self.0.entry(tracer.to_owned()).or_default().insert(name, meaning);
    }

    pub fn get(&self, tracer: &str, event: &str) -> Option<&EventMeaning> {
        self.0.get(tracer)?.get(event)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &EventMeaning)> {
        self.0.iter().flat_map(|(tracer, events)| {
            events.iter().map(move |(event, meaning)| (tracer.as_str(), event.as_str(), meaning))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_tracers_say_what_makes_behaviour() {
        let all = Meanings::shipped();
        let exec = all.get("exec", "exec").unwrap();
        assert_eq!(exec.class, "executed");
        let features: Vec<_> = exec.features().map(|f| (f.path.as_str(), f.kind.as_str())).collect();
        assert!(features.contains(&("process.executable.path", "path")), "{features:?}");
        assert_eq!(all.get("guard", "mount").unwrap().class, "mount");
    }
}
