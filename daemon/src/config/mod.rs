//! `remora.toml`: every key has a default, unknown keys are refused, and what is out of range is named.
//! `examples/remora.toml` documents each key; a test keeps it equal to the defaults here.

mod units;
mod validate;

use crate::manager::Managers;
use crate::manager::wish::{LabelRules, Rules, Select};
use crate::tracer::budget::Budget;
use crate::tracer::params::Values;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use units::{bytes, duration};
pub use validate::valid_name;

/// Read when no file is named; it need not exist.
pub const DEFAULT_PATH: &str = "/etc/remora/remora.toml";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read configuration {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("failed to parse configuration {path}: {source}")]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("failed to accept configuration {path}: {key} {reason}")]
    Invalid { path: PathBuf, key: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A filter of `tracing`: a level, or directives such as `info,remora::registry=debug`.
    pub log: String,
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
    pub bpffs: PathBuf,
    pub tracers_dir: PathBuf,
    pub hook: Hook,
    pub api: Api,
    pub limits: Limits,
    pub tracers: Tracers,
    pub events: Events,
    pub history: crate::history::Settings,
    pub otlp: crate::otlp::Settings,
    pub metrics: crate::metrics::Settings,
    pub alerts: crate::alert::Settings,
    pub scan: Scan,
    pub labels: LabelRules,
    pub select: Vec<Select>,
    pub managers: Managers,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hook {
    pub socket: PathBuf,
    /// Whether callers other than root may register their own processes.
    pub rootless: bool,
    /// What one peer has for its frame and its ack together.
    #[serde(with = "units::duration")]
    pub peer_timeout: Duration,
    /// Peers served at a time; the others wait in the backlog.
    pub peers: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    pub socket: PathBuf,
    pub group: String,
    /// The whole API is also served there over TCP, for reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Holds the bearer token without which nobody is answered there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Metrics are also served there over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// Holds the bearer token without which nobody gets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_token_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Containers in scope at a time.
    pub containers: u32,
    /// One ring buffer.
    #[serde(with = "units::bytes")]
    pub ring_bytes: u64,
    /// Recent events kept for replay.
    #[serde(with = "units::bytes")]
    pub history_bytes: u64,
    /// Ledgers kept of containers that are gone.
    pub ended: usize,
    /// How long the series of a container that is gone are still shown.
    #[serde(with = "units::duration")]
    pub series_linger: Duration,
    /// Nested cgroups in scope, all containers together.
    pub nested: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tracers {
    /// Tracers or groups loaded (but not attached) at start.
    pub preload: Vec<String>,
    /// Grace between the last user's end and the detach.
    #[serde(with = "units::duration")]
    pub detach_after: Duration,
    /// Parameters by tracer and name, for all containers.
    pub params: BTreeMap<String, Values>,
    /// How much a tracer may cost that has no budget of its own.
    pub budget: Budget,
    /// Budgets by tracer.
    pub budgets: BTreeMap<String, Budget>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Events also go there as NDJSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    #[serde(with = "units::bytes")]
    pub file_max_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// Glob patterns of the folders in which runtimes keep their containers' state.
    pub runtime_roots: Vec<String>,
    pub at_start: bool,
}

/// The ways to container managers.
impl Default for Config {
    fn default() -> Self {
        Self {
            log: "info".into(),
            run_dir: "/run/remora".into(),
            state_dir: "/var/lib/remora".into(),
            bpffs: "/sys/fs/bpf".into(),
            tracers_dir: "/etc/remora/tracers.d".into(),
            hook: Hook::default(),
            api: Api::default(),
            limits: Limits::default(),
            tracers: Tracers::default(),
            events: Events::default(),
            history: crate::history::Settings::default(),
            otlp: crate::otlp::Settings::default(),
            metrics: crate::metrics::Settings::default(),
            alerts: crate::alert::Settings::default(),
            scan: Scan::default(),
            labels: LabelRules::default(),
            select: Vec::new(),
            managers: Managers::default(),
        }
    }
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            socket: remora_wire::HOOK_SOCKET.into(),
            rootless: false,
            peer_timeout: Duration::from_millis(500),
            peers: 64,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            socket: "/run/remora/api.sock".into(),
            group: "remora".into(),
            listen: None,
            token_file: None,
            metrics_listen: None,
            metrics_token_file: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            containers: 512,
            ring_bytes: 4 << 20,
            history_bytes: 4 << 20,
            ended: 256,
            series_linger: Duration::from_secs(60),
            nested: 4096,
        }
    }
}

impl Default for Tracers {
    fn default() -> Self {
        Self {
            preload: vec!["default".into()],
            detach_after: Duration::from_secs(5),
            params: BTreeMap::new(),
            budget: Budget::default(),
            budgets: BTreeMap::new(),
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { file: None, file_max_bytes: 256 << 20 }
    }
}

impl Default for Scan {
    fn default() -> Self {
        const ROOTS: [&str; 6] = [
            "/run/runc",
            "/run/crun",
            "/run/containerd/runc/*",
            "/run/docker/runtime-runc/*",
            "/run/user/*/crun",
            "/run/user/*/runc",
        ];
        Self { runtime_roots: ROOTS.map(Into::into).into(), at_start: true }
    }
}

impl Config {
    /// By what it is decided who is traced.
    pub fn rules(&self) -> Rules {
        Rules { labels: self.labels.clone(), select: self.select.clone() }
    }

    /// A named file must exist; the default one need not.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file),
            Err(e) if path.is_none() && e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path: file.into(), source }),
        }
    }

    /// `path` serves only to say where an error lies.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        config.validate().map_err(|invalid| invalid.in_file(path))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
