//! What is shown: the API's word on containers and tracers, and what the kernel says of their cgroups, as differences
//! between two looks.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use http_body_util::BodyExt;
use serde_json::Value;

use crate::api::client::{self, encode};
use crate::cli::events;
use crate::decode::text::printable;
use crate::host::cgroup::controllers;
use crate::registry::record::View;

/// Events of a container that are remembered.
const EVENTS: usize = 500;

#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub containers: Vec<Container>,
    pub tracers: Vec<Tracer>,
    /// The last ones of the container that is looked into, oldest first.
    pub events: Vec<String>,
}

/// Texts are made harmless already.
#[derive(Debug, Clone, Default)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub state: String,
    pub image: String,
    pub late: Option<String>,
    /// Events a second.
    pub events: f64,
    pub lost: u64,
    /// Processors.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: Option<u64>,
    pub tracers: Vec<Count>,
}

#[derive(Debug, Clone, Default)]
pub struct Count {
    pub tracer: String,
    pub on: bool,
    pub events: f64,
    pub counted: u64,
    pub lost: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Tracer {
    pub name: String,
    pub state: String,
    pub containers: u64,
    pub events: f64,
    /// Of its programs, a second.
    pub runs: f64,
    /// Processors.
    pub cost: f64,
    pub help: String,
}

/// Counters only grow: what they stood at before.
#[derive(Debug, Default)]
struct Before {
    at: Option<Instant>,
    /// By container and tracer, or by what else is counted.
    numbers: HashMap<(String, String), f64>,
}

pub struct Watch {
    socket: PathBuf,
    before: Before,
    folders: HashMap<String, Folders>,
    inside: Inside,
}

/// The events of one container.
#[derive(Debug, Default)]
struct Inside {
    id: String,
    after: Option<u64>,
    lines: VecDeque<String>,
}

#[derive(Debug, Clone)]
struct Folders {
    unified: PathBuf,
    version_1: BTreeMap<String, PathBuf>,
}

impl Watch {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, before: Before::default(), folders: HashMap::new(), inside: Inside::default() }
    }

    /// Looks once; with the events of one container.
    pub async fn look(&mut self, inside: Option<String>) -> anyhow::Result<Sample> {
        let mut views: Vec<View> = client::json(&self.socket, "/v1/containers").await?;
        views.retain(|view| view.state != "ended");
        let tracers: Vec<Value> = client::json(&self.socket, "/v1/tracers?cost=true").await?;
        let events = match inside {
            Some(id) => self.events(id).await?,
            None => Vec::new(),
        };
        let mut now = Before { at: Some(Instant::now()), numbers: HashMap::new() };
        self.folders.retain(|id, _| views.iter().any(|view| view.id == *id));
        let containers: Vec<Container> = views.iter().map(|view| self.container(view, &mut now)).collect();
        let tracers = tracers.iter().map(|t| tracer(t, &containers, &self.before, &mut now)).collect();
        self.before = now;
        Ok(Sample { containers, tracers, events })
    }

    fn container(&mut self, view: &View, now: &mut Before) -> Container {
        let folders = self.folders.entry(view.id.clone()).or_insert_with(|| Folders::of(view));
        let cpu = folders.cpu_seconds().map(|s| self.before.rate(now, &view.id, " cpu", s));
        let memory = folders.memory();
        let counts = view.ledger.tracers.iter().map(|(tracer, counts)| Count {
            tracer: tracer.clone(),
            on: view.tracers.contains(tracer),
            events: self.before.rate(now, &view.id, tracer, counts.counted as f64),
            counted: counts.counted,
            lost: counts.lost(),
        });
        let tracers: Vec<Count> = counts.collect();
        Container {
            id: view.id.clone(),
            name: printable(&view.name),
            state: view.state.clone(),
            image: printable(&view.identity.image_name),
            late: view.ledger.late.as_deref().map(printable),
            events: tracers.iter().map(|c| c.events).sum(),
            lost: tracers.iter().map(|c| c.lost).sum(),
            cpu,
            memory,
            tracers,
        }
    }

    async fn events(&mut self, id: String) -> anyhow::Result<Vec<String>> {
        if self.inside.id != id {
            self.inside = Inside { id, ..Inside::default() };
        }
        let from =
            self.inside.after.map_or_else(|| "replay=true".to_owned(), |after| format!("after={after}"));
        let target = format!("/v1/events?{from}&follow=false&container={}", encode(&self.inside.id));
        let body = client::get(&self.socket, &target).await?.collect().await?.to_bytes();
        for line in body.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let Ok(event) = serde_json::from_slice::<Value>(line) else { continue };
            self.inside.after = event["event"]["cursor"].as_u64().or(self.inside.after);
            if event.get("gap").is_none() {
                self.inside.lines.push_back(events::row(&event, false));
            }
            while self.inside.lines.len() > EVENTS {
                self.inside.lines.pop_front();
            }
        }
        Ok(self.inside.lines.iter().cloned().collect())
    }
}

impl Before {
    /// How much it grew a second; nothing the first time.
    fn rate(&self, now: &mut Self, of: &str, what: &str, value: f64) -> f64 {
        let key = (of.to_owned(), what.to_owned());
        let seconds =
            now.at.zip(self.at).map_or(0.0, |(now, before)| now.duration_since(before).as_secs_f64());
        let grown = self.numbers.get(&key).map_or(0.0, |before| (value - before).max(0.0));
        now.numbers.insert(key, value);
        if seconds > 0.0 { grown / seconds } else { 0.0 }
    }
}

fn tracer(view: &Value, containers: &[Container], before: &Before, now: &mut Before) -> Tracer {
    let text = |key: &str| view[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    let (mut runs, mut nanoseconds) = (0, 0);
    for cost in view["cost"].as_object().into_iter().flat_map(|all| all.values()) {
        runs += cost["runs"].as_u64().unwrap_or(0);
        nanoseconds += cost["nanoseconds"].as_u64().unwrap_or(0);
    }
    let of = format!("tracer {name}");
    let counts = containers.iter().flat_map(|c| &c.tracers).filter(|c| c.tracer == name);
    Tracer {
        state: printable(&text("state")),
        containers: view["containers"].as_u64().unwrap_or(0),
        events: counts.map(|c| c.events).sum(),
        runs: before.rate(now, &of, "runs", runs as f64),
        cost: before.rate(now, &of, "seconds", nanoseconds as f64 / 1e9),
        help: printable(&text("help")),
        name: printable(&name),
    }
}

impl Folders {
    fn of(view: &View) -> Self {
        let version_1 = if view.pid == 0 { BTreeMap::new() } else { controllers::of_init(view.pid) };
        Self { unified: view.cgroup_path.clone().into(), version_1 }
    }

    fn cpu_seconds(&self) -> Option<f64> {
        if let Some(text) = read(&self.unified.join("cpu.stat")) {
            let line = text.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
            return Some(line.trim().parse::<u64>().ok()? as f64 / 1e6);
        }
        let text = read(&self.version_1.get("cpuacct")?.join("cpuacct.usage"))?;
        Some(text.trim().parse::<u64>().ok()? as f64 / 1e9)
    }

    fn memory(&self) -> Option<u64> {
        let unified = read(&self.unified.join("memory.current"));
        let version_1 = || read(&self.version_1.get("memory")?.join("memory.usage_in_bytes"));
        unified.or_else(version_1)?.trim().parse().ok()
    }
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_what_counters_grew_by() {
        let start = Instant::now();
        let mut first = Before { at: Some(start), ..Before::default() };
        assert_eq!(Before::default().rate(&mut first, "a", "x", 10.0), 0.0);
        let mut second = Before { at: Some(start + Duration::from_secs(2)), ..Before::default() };
        assert_eq!(first.rate(&mut second, "a", "x", 30.0), 10.0);
        assert_eq!(first.rate(&mut second, "b", "x", 30.0), 0.0);
        // A counter that begins anew is not negative.
        assert_eq!(first.rate(&mut second, "a", "x", 3.0), 0.0);
    }
}
