//! What is asked of the thread that owns the engine.

use remora_alert::alarm::Severity;
use remora_alert::rules::{Problem, Rule};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::Handle;

#[derive(Debug)]
pub enum Command {
    Reload(oneshot::Sender<Vec<Problem>>),
    Rules(oneshot::Sender<Vec<RuleView>>),
    Profiles(oneshot::Sender<Vec<Value>>),
    Profile(String, oneshot::Sender<Option<ProfileView>>),
    Change(String, Change, oneshot::Sender<Result<(), Refused>>),
}

/// What may be done with a profile.
#[derive(Debug)]
pub enum Change {
    /// Its text; whether it is pinned.
    Import(String, bool),
    Pin,
    Unpin,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is none.
    Unknown,
    /// The text is none, or of another.
    Text(String),
}

/// As YAML.
#[derive(Debug)]
pub struct ProfileView(pub String);

#[derive(Debug, Serialize)]
pub struct RuleView {
    pub id: String,
    pub summary: String,
    pub description: String,
    pub severity: Severity,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub file: String,
    pub line: usize,
    pub condition: String,
    /// Events that it can be true of; none are named where any can.
    pub events: Vec<String>,
    /// Tracers that have these.
    pub tracers: Vec<String>,
    /// Since the daemon began.
    pub matches: u64,
}

impl RuleView {
    pub fn new(rule: &Rule, matches: u64) -> Self {
        Self {
            id: rule.id.to_string(),
            summary: rule.summary.clone(),
            description: rule.description.clone(),
            severity: rule.severity,
            tags: rule.tags.clone(),
            enabled: rule.enabled,
            file: rule.file.to_string(),
            line: rule.line,
            condition: rule.condition.clone(),
            events: rule.events.iter().flatten().cloned().collect(),
            tracers: rule.tracers.iter().cloned().collect(),
            matches,
        }
    }
}

impl Handle {
    /// Reads the files of rules again; what is wrong with them. None: the daemon is stopping.
    pub async fn reload(&self) -> Option<Vec<Problem>> {
        self.ask(Command::Reload).await
    }

    pub async fn rules(&self) -> Option<Vec<RuleView>> {
        self.ask(Command::Rules).await
    }

    pub async fn profiles(&self) -> Option<Vec<Value>> {
        self.ask(Command::Profiles).await
    }

    pub async fn profile(&self, key: String) -> Option<Option<ProfileView>> {
        self.ask(|reply| Command::Profile(key, reply)).await
    }

    pub async fn change(&self, key: String, change: Change) -> Option<Result<(), Refused>> {
        self.ask(|reply| Command::Change(key, change, reply)).await
    }
}
