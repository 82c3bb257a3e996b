//! What the API and the command line show of a tracer.

use std::{path::Path, sync::Arc};

use serde::Serialize;

use super::contract::Description;
use super::engine::Tracer;

#[derive(Debug, Clone, Serialize)]
pub struct TracerView {
    #[serde(flatten)]
    pub description: Arc<Description>,
    pub origin: String,
    /// `available`, `loaded`, `attached` or `failed`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub containers: usize,
    /// Programs this kernel took.
    pub chosen: Vec<String>,
    pub refused: Vec<(String, String)>,
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
            containers: 0,
            chosen: Vec::new(),
            refused: Vec::new(),
            survives_restart: false,
        }
    }
}

impl Tracer {
    pub(super) fn view(&self) -> TracerView {
        let attached = !self.global.is_empty() || !self.own.is_empty();
        let held = self.global.iter().chain(self.own.values().flatten());
        TracerView {
            description: self.description.clone(),
            origin: self.file.origin.clone(),
            state: match (&self.problem, &self.loaded) {
                (Some(_), _) => "failed",
                _ if attached => "attached",
                (None, Some(_)) => "loaded",
                (None, None) => "available",
            },
            problem: self.problem.clone(),
            containers: self.users.len(),
            chosen: self.loaded.iter().flat_map(|l| l.chosen.iter().map(|(n, _)| n.clone())).collect(),
            refused: self.loaded.iter().flat_map(|l| l.refused.clone()).collect(),
            survives_restart: held.into_iter().all(|h| h.pinned),
        }
    }
}
