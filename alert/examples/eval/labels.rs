//! What the recorder says of a recording: which container was what, and when what was done to it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use remora_alert::meaning::Meanings;
use remora_alert::time::SECOND;
use serde::Deserialize;

use crate::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    Tuning,
    HeldOut,
}

/// Times are seconds since 1970 as the recorder writes them.
#[derive(Debug, Deserialize)]
pub struct Labels {
    pub seed: u64,
    pub kernel: String,
    pub date: String,
    pub images: BTreeMap<String, Image>,
    pub phases: Vec<Phase>,
    pub containers: Vec<Container>,
    pub attacks: Vec<Attack>,
    pub benign: Vec<Act>,
}

#[derive(Debug, Deserialize)]
pub struct Image {
    pub kind: String,
    pub set: Set,
}

#[derive(Debug, Deserialize)]
pub struct Phase {
    pub name: String,
    pub from: f64,
}

#[derive(Debug, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub image: String,
    pub from: f64,
    pub to: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub struct Attack {
    pub id: String,
    pub set: Set,
    pub steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    pub step: String,
    pub container: String,
    pub from: f64,
    pub to: f64,
}

/// Something harmless.
#[derive(Debug, Deserialize)]
pub struct Act {
    pub what: String,
    pub container: String,
    pub from: f64,
    pub to: f64,
}

/// What the shell writes as seconds, in nanoseconds.
pub fn ns(seconds: f64) -> u64 {
    (seconds * 1e6) as u64 * (SECOND / 1_000_000)
}

/// A folder that the recorder has filled.
#[derive(Debug)]
pub struct Recording {
    pub folder: PathBuf,
    pub labels: Labels,
    pub meanings: Meanings,
    by_id: HashMap<String, usize>,
    /// By container, from when on an attack has made what it does untrustworthy.
    victims: HashMap<String, u64>,
}

impl Recording {
    pub fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|e| format!("failed to read {}: {e}", path.display()))
        };
        let bad = |what: &str, e: serde_json::Error| {
            format!("failed to understand {what} of {}: {e}", folder.display())
        };
        let labels: Labels =
            serde_json::from_str(&read("labels.json")?).map_err(|e| bad("labels.json", e))?;
        let tracers = serde_json::from_str(&read("tracers.json")?).map_err(|e| bad("tracers.json", e))?;
        let by_id = labels.containers.iter().enumerate().map(|(i, c)| (c.id.clone(), i)).collect();
        let mut all = Self {
            folder: folder.to_owned(),
            labels,
            meanings: Meanings::of_tracers(&tracers),
            by_id,
            victims: HashMap::new(),
        };
        all.victims = all.find_victims();
        Ok(all)
    }

    fn find_victims(&self) -> HashMap<String, u64> {
        let mut victims: HashMap<String, u64> = HashMap::new();
        for step in self.labels.attacks.iter().flat_map(|a| &a.steps) {
            let lives = self.labels.containers.iter().filter(|c| c.name == step.container);
            for life in lives.filter(|c| c.from <= step.to && c.to.is_none_or(|to| step.from <= to)) {
                let from = victims.entry(life.id.clone()).or_insert(u64::MAX);
                *from = ns(step.from).min(*from);
            }
        }
        victims
    }

    pub fn events(&self) -> PathBuf {
        self.folder.join("events.ndjson")
    }

    pub fn container(&self, id: &str) -> Option<&Container> {
        self.by_id.get(id).map(|&at| &self.labels.containers[at])
    }

    pub fn name_of<'r>(&'r self, id: &'r str) -> &'r str {
        self.container(id).map_or(id, |c| &c.name)
    }

    pub fn set_of(&self, id: &str) -> Option<Set> {
        Some(self.labels.images.get(&self.container(id)?.image)?.set)
    }

    /// When a phase began.
    pub fn phase(&self, name: &str) -> u64 {
        self.labels.phases.iter().find(|p| p.name == name).map_or(0, |p| ns(p.from))
    }

    /// From when on nothing of it is harmless for certain.
    pub fn victim_since(&self, id: &str) -> Option<u64> {
        self.victims.get(id).copied()
    }

    pub fn is_attacked(&self, id: &str, time: u64) -> bool {
        self.victim_since(id).is_some_and(|since| time >= since)
    }

    /// The harmless acts that went on in a container at a time.
    pub fn acts(&self, name: &str, time: u64) -> impl Iterator<Item = &Act> {
        let within = move |act: &&Act| ns(act.from) <= time && time <= ns(act.to);
        self.labels.benign.iter().filter(move |act| act.container == name).filter(within)
    }

    /// Days that containers of a set lived unharmed after learning.
    pub fn container_days(&self, set: Set) -> f64 {
        let (from, end) = (self.phase("calm"), self.phase("end"));
        let lived = |c: &Container| {
            let to = c.to.map_or(end, ns).min(end).min(self.victim_since(&c.id).unwrap_or(u64::MAX));
            to.saturating_sub(ns(c.from).max(from))
        };
        let of_set = self.labels.containers.iter().filter(|c| self.set_of(&c.id) == Some(set));
        of_set.map(lived).sum::<u64>() as f64 / (86_400 * SECOND) as f64
    }
}
