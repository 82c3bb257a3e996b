//! What the API and the command line show of a tracer.

use std::{path::Path, sync::Arc};

use serde::Serialize;

use super::budget::Budget;
use super::contract::Description;
use super::cost::Costs;
use super::engine::Tracer;
use super::params::Values;
use super::settings::Settings;

#[derive(Debug, Clone, Serialize)]
pub struct TracerView {
    #[serde(flatten)]
    pub description: Arc<Description>,
    pub origin: String,
    /// `available`, `loaded`, `attached`, `stopped` or `failed`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why nobody gets it, if it was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Parameters set for all containers.
    pub set: Values,
    pub budget: Budget,
    /// What its programs have cost while that was counted.
    pub cost: Costs,
    /// Of the object in use; its records carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    pub containers: usize,
    /// Programs this kernel took.
    pub chosen: Vec<String>,
    pub refused: Vec<(String, String)>,
    /// Programs that could not bring their maps up to date, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<(String, String)>,
    /// Whether every link survives a restart of the daemon.
    pub survives_restart: bool,
}

impl TracerView {
    /// A file that is no tracer one can use goes by its own name, which no tracer can have.
    pub(super) fn refused(file: &Path, why: &str) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            description: Arc::new(Description { name, ..Description::default() }),
            origin: file.display().to_string(),
            state: "failed",
            problem: Some(why.to_owned()),
            stopped: None,
            set: Values::new(),
            budget: Budget::default(),
            cost: Costs::new(),
            number: None,
            containers: 0,
            chosen: Vec::new(),
            refused: Vec::new(),
            stale: Vec::new(),
            survives_restart: false,
        }
    }
}

impl Tracer {
    pub(super) fn view(&self, settings: &Settings, name: &str, cost: Costs) -> TracerView {
        let stopped = settings.stopped(name);
        // One without programs has nothing to attach.
        let attached = self.links().next().is_some() || !self.users.is_empty();
        TracerView {
            description: self.description.clone(),
            origin: self.file.origin.clone(),
            state: match (&self.problem, &self.loaded) {
                (Some(_), _) => "failed",
                _ if stopped.is_some() => "stopped",
                _ if attached => "attached",
                (None, Some(_)) => "loaded",
                (None, None) => "available",
            },
            problem: self.problem.clone(),
            stopped: stopped.map(str::to_owned),
            set: settings.params(name),
            budget: settings.budget(name),
            cost,
            number: self.loaded.as_ref().map(|l| l.instance.number),
            containers: self.users.len(),
            chosen: self.loaded.iter().flat_map(|l| l.chosen.iter().map(|(n, _)| n.clone())).collect(),
            refused: self.loaded.iter().flat_map(|l| l.refused.clone()).collect(),
            stale: self.loaded.iter().flat_map(|l| l.refreshes.problems()).collect(),
            survives_restart: self.links().all(|h| h.pinned),
        }
    }
}
