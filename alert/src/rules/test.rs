//! Tests of rules: events, and the rules that are to speak of them.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::draft::duration;
use super::{Rules, Source};
use crate::event::Event;
use crate::time;
use crate::yaml::{self, Members, Node, YamlError};

/// Most events of one test, repetitions counted.
const EVENTS_MAX: u64 = 10_000;
/// Between two events, unless a test says otherwise.
const EVERY: u64 = time::SECOND / 1000;
const BEGIN: &str = "2026-01-01T00:00:00Z";

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    pub file: String,
    pub line: usize,
    pub name: String,
    pub ok: bool,
    /// Why it failed.
    pub what: String,
    /// Rules that were to speak, and rules that were near.
    pub expect: Vec<String>,
    pub near: Vec<String>,
}

struct Test {
    name: String,
    events: Vec<Event>,
    expect: Vec<String>,
    near: Vec<String>,
}

/// Each test begins anew: rates have counted nothing.
pub fn run(rules: &Rules, tests: &[Source]) -> Vec<Outcome> {
    tests.iter().flat_map(|source| file(rules, source)).collect()
}

fn file(rules: &Rules, source: &Source) -> Vec<Outcome> {
    let outcome = |line, name: &str, what: Result<(), String>, test: Option<&Test>| Outcome {
        file: source.name.clone(),
        line,
        name: name.to_owned(),
        ok: what.is_ok(),
        what: what.err().unwrap_or_default(),
        expect: test.map(|t| t.expect.clone()).unwrap_or_default(),
        near: test.map(|t| t.near.clone()).unwrap_or_default(),
    };
    let failed =
        |e: YamlError| outcome(e.place.line, "", Err(format!("column {}: {}", e.place.column, e.what)), None);
    let node = match yaml::read(&source.text) {
        Ok(node) => node,
        Err(e) => return vec![failed(e)],
    };
    let tests = Members::of(&node, &["tests"]).and_then(|m| m.need("tests")).and_then(Node::list);
    let tests = match tests {
        Ok(tests) => tests,
        Err(e) => return vec![failed(e)],
    };
    let one = |node: &Node| match read(rules, node) {
        Ok(test) => outcome(node.place.line, &test.name, check(rules, &test), Some(&test)),
        Err(e) => failed(e),
    };
    tests.iter().map(one).collect()
}

fn check(rules: &Rules, test: &Test) -> Result<(), String> {
    let mut rules = rules.anew();
    let mut spoke = BTreeSet::new();
    for event in &test.events {
        spoke.extend(rules.matching(event).into_iter().map(|rule| rule.id.to_string()));
    }
    let expect: BTreeSet<_> = test.expect.iter().cloned().collect();
    let list = |all: Vec<&String>| all.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let silent = list(expect.difference(&spoke).collect());
    let surplus = list(spoke.difference(&expect).collect());
    match (silent.as_str(), surplus.as_str()) {
        ("", "") => Ok(()),
        (silent, "") => Err(format!("not matched: {silent}")),
        ("", surplus) => Err(format!("matched, not expected: {surplus}")),
        (silent, surplus) => Err(format!("not matched: {silent}; matched, not expected: {surplus}")),
    }
}

fn read(rules: &Rules, node: &Node) -> Result<Test, YamlError> {
    let members = Members::of(node, &["name", "events", "expect", "near"])?;
    let mut events = Vec::new();
    let mut now = time::parse(BEGIN).unwrap_or_default();
    for event in members.need("events")?.list()? {
        add(rules, event, &mut now, &mut events)?;
    }
    let known = |name: &str| -> Result<Vec<String>, YamlError> {
        let Some(list) = members.get(name) else { return Ok(Vec::new()) };
        let unknown = list.list()?.iter().find(|id| id.text().is_ok_and(|id| rules.get(id).is_none()));
        match unknown {
            Some(id) => Err(id.error(format!("there is no rule {:?}", id.text().unwrap_or_default()))),
            None => list.texts(),
        }
    };
    members.need("expect")?;
    let test = Test {
        name: members.need("name")?.text()?.to_owned(),
        events,
        expect: known("expect")?,
        near: known("near")?,
    };
    match test.near.iter().find(|id| test.expect.contains(id)) {
        Some(id) => Err(node.error(format!("the rule {id} is both expected and near"))),
        None => Ok(test),
    }
}

/// As often as it is to be repeated; what the event does not say is made up.
fn add(rules: &Rules, node: &Node, now: &mut u64, events: &mut Vec<Event>) -> Result<(), YamlError> {
    let (mut repeat, mut every) = (1, EVERY);
    let mut said = Map::new();
    for (key, value) in node.map()? {
        match key.text()? {
            "repeat" => repeat = value.number()?,
            "every" => every = duration(value)?,
            name => _ = said.insert(name.to_owned(), value.json()),
        }
    }
    if repeat > EVENTS_MAX || events.len() as u64 + repeat > EVENTS_MAX {
        return Err(node.error(format!("a test has {EVENTS_MAX} events at most")));
    }
    if let Some(text) = said.get("time").and_then(Json::as_str) {
        *now = time::parse(text).ok_or_else(|| node.error(format!("{text:?} is no time in RFC 3339")))?;
    }
    check_members(rules, node, &said)?;
    let name = said.get("event").and_then(|e| e["name"].as_str()).unwrap_or_default();
    let mut json = json!({
        "event": {"name": "", "tracer": rules.tracer_of(name), "cursor": 0},
        "container": {"id": "0123456789ab", "name": "test", "runtime": "podman",
            "image": {"name": "localhost/test:latest", "id": "sha256:0"}},
    });
    merge(&mut json, Json::Object(said));
    for _ in 0..repeat {
        json["event"]["cursor"] = (events.len() + 1).into();
        json["time"] = time::format(*now).into();
        *now += every;
        let event = Event::new(json.as_object().cloned().unwrap_or_default());
        events.push(event.map_err(|e| node.error(e.to_string()))?);
    }
    Ok(())
}

/// A member that no such event has would make a test of nothing.
fn check_members(rules: &Rules, node: &Node, said: &Map<String, Json>) -> Result<(), YamlError> {
    let name = said.get("event").and_then(|e| e["name"].as_str()).unwrap_or_default().to_owned();
    let names = BTreeSet::from([name.clone()]);
    let Some(known) = &rules.known else { return Ok(()) };
    if known.unknown_event(Some(&names)).is_some() {
        return Err(node.error(format!("no tracer has an event {name:?}")));
    }
    let mut paths = Vec::new();
    said.iter().for_each(|(key, value)| leaves(key.clone(), value, &mut paths));
    match paths.iter().find(|path| !known.has(path, Some(&names))) {
        Some(path) => Err(node.error(format!("the event {name:?} has no member {path:?}"))),
        None => Ok(()),
    }
}

fn leaves(path: String, value: &Json, all: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            members.iter().for_each(|(key, value)| leaves(format!("{path}.{key}"), value, all))
        }
        _ => all.push(path),
    }
}

fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Json::Null), value));
        }
        (into, from) => *into = from,
    }
}
