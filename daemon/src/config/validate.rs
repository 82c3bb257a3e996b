//! Ranges and forms that types alone do not express.

use super::{Config, ConfigError};
use crate::tracer::params::ParamValue;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// `sun_path` with its closing NUL.
const MAX_SOCKET_PATH: usize = 107;

/// The key at fault, and what is wrong with its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    pub key: String,
    pub reason: String,
}

impl Invalid {
    fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }

    pub fn in_file(self, path: &Path) -> ConfigError {
        ConfigError::Invalid { path: path.into(), key: self.key, reason: self.reason }
    }
}

/// Whether a word may name a tracer, a group or a parameter: `[a-z0-9_-]{1,64}`.
pub fn valid_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

impl Config {
    /// Names the first key whose value cannot work.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_log()?;
        self.validate_paths()?;
        self.validate_hook()?;
        self.validate_remotes()?;
        self.validate_otlp()?;
        self.validate_alerts()?;
        self.validate_limits()?;
        self.validate_tracers()?;
        self.validate_scan()?;
        self.validate_rules()?;
        self.validate_managers()?;
        self.validate_nri()
    }

    fn validate_rules(&self) -> Result<(), Invalid> {
        const LABELS: &str = "labels.identity";
        within(LABELS, self.labels.identity.len() as u64, 0..=32)?;
        within("select", self.select.len() as u64, 0..=1024)?;
        for (at, select) in self.select.iter().enumerate() {
            select.check().map_err(|(key, why)| Invalid::new(format!("select[{at}].{key}"), why))?;
        }
        Ok(())
    }

    fn validate_managers(&self) -> Result<(), Invalid> {
        let managers = &self.managers;
        duration(
            "managers.timeout",
            managers.timeout,
            Duration::from_millis(10)..=Duration::from_millis(400),
        )?;
        absolute("managers.docker.socket", &managers.docker.socket)?;
        absolute("managers.docker.data_root", &managers.docker.data_root)?;
        absolute("managers.containerd.socket", &managers.containerd.socket)?;
        absolute("managers.cri.socket", &managers.cri.socket)?;
        managers.podman.storage.iter().try_for_each(|path| absolute("managers.podman.storage", path))
    }

    fn validate_log(&self) -> Result<(), Invalid> {
        match self.log.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) if !self.log.trim().is_empty() => Ok(()),
            Ok(_) => Err(Invalid::new("log", "is empty: write a level such as \"info\"")),
            Err(e) => Err(Invalid::new("log", format!("is no log filter: {e}"))),
        }
    }

    fn validate_paths(&self) -> Result<(), Invalid> {
        absolute("run_dir", &self.run_dir)?;
        absolute("state_dir", &self.state_dir)?;
        absolute("bpffs", &self.bpffs)?;
        absolute("tracers_dir", &self.tracers_dir)?;
        socket("hook.socket", &self.hook.socket)?;
        socket("api.socket", &self.api.socket)?;
        if self.hook.socket == self.api.socket {
            return Err(Invalid::new("api.socket", "is the same path as hook.socket"));
        }
        self.events.file.as_deref().map_or(Ok(()), |file| absolute("events.file", file))
    }

    fn validate_hook(&self) -> Result<(), Invalid> {
        within("hook.peers", self.hook.peers as u64, 1..=4096)?;
        let timeout = Duration::from_millis(10)..=Duration::from_secs(60);
        duration("hook.peer_timeout", self.hook.peer_timeout, timeout)?;
        match self.api.group.as_str() {
            "" => Err(Invalid::new("api.group", "is empty: name a group, \"root\" for root alone")),
            _ => Ok(()),
        }
    }

    fn validate_remotes(&self) -> Result<(), Invalid> {
        let api = &self.api;
        remote("api.listen", api.listen, "api.token_file", api.token_file.as_deref())?;
        let (at, token) = (api.metrics_listen, api.metrics_token_file.as_deref());
        remote("api.metrics_listen", at, "api.metrics_token_file", token)?;
        if api.listen.is_some_and(|listen| listen.port() != 0 && Some(listen) == at) {
            let reason = "is the same address as api.metrics_listen: it serves /metrics, too";
            return Err(Invalid::new("api.listen", reason));
        }
        Ok(())
    }

    fn validate_otlp(&self) -> Result<(), Invalid> {
        let otlp = &self.otlp;
        if let Some(endpoint) = &otlp.endpoint {
            crate::outlet::address::parse(endpoint).map_err(|why| Invalid::new("otlp.endpoint", why))?;
        }
        otlp.token_file.as_deref().map_or(Ok(()), |file| absolute("otlp.token_file", file))?;
        let times = Duration::from_secs(1)..=Duration::from_secs(3600);
        duration("otlp.interval", otlp.interval, times)?;
        duration("otlp.timeout", otlp.timeout, Duration::from_millis(100)..=Duration::from_secs(60))
    }

    fn validate_alerts(&self) -> Result<(), Invalid> {
        let (alerts, second) = (&self.alerts, Duration::from_secs(1));
        absolute("alerts.rules_dir", &alerts.rules_dir)?;
        duration("alerts.window", alerts.window, second..=86_400 * second)?;
        duration("alerts.learn", alerts.learn, second..=30 * 86_400 * second)?;
        within("alerts.memory", alerts.memory, MIB..=GIB)?;
        let endpoint = |key: &str, url: &str| {
            crate::outlet::address::parse(url).map_err(|why| Invalid::new(key, why)).map(drop)
        };
        let (manager, webhook) = (&alerts.alertmanager, &alerts.webhook);
        within("alerts.alertmanager.urls", manager.urls.len() as u64, 0..=8)?;
        manager.urls.iter().try_for_each(|url| endpoint("alerts.alertmanager.urls", url))?;
        webhook.url.as_deref().map_or(Ok(()), |url| endpoint("alerts.webhook.url", url))?;
        let tokens = [("alertmanager", &manager.token_file), ("webhook", &webhook.token_file)];
        for (output, token) in tokens {
            token.as_deref().map_or(Ok(()), |t| absolute(&format!("alerts.{output}.token_file"), t))?;
        }
        for (output, timeout) in [("alertmanager", manager.timeout), ("webhook", webhook.timeout)] {
            duration(&format!("alerts.{output}.timeout"), timeout, second / 10..=60 * second)?;
        }
        duration("alerts.alertmanager.hold", manager.hold, Duration::ZERO..=86_400 * second)?;
        if let Some(address) = &alerts.syslog.address {
            crate::alert::check_syslog(address).map_err(|why| Invalid::new("alerts.syslog.address", why))?;
        }
        within("alerts.file.max_bytes", alerts.file.max_bytes, 64 * KIB..=1024 * GIB)?;
        alerts.file.path.as_deref().map_or(Ok(()), |path| absolute("alerts.file.path", path))
    }

    fn validate_limits(&self) -> Result<(), Invalid> {
        let limits = &self.limits;
        within("limits.containers", limits.containers.into(), 1..=4096)?;
        // What the kernel asks of a ring buffer; a power of two from 64 KiB on is whole pages on every machine.
        if !limits.ring_bytes.is_power_of_two() {
            let reason = format!("is {} bytes, which is no power of two", limits.ring_bytes);
            return Err(Invalid::new("limits.ring_bytes", reason));
        }
        within("limits.ring_bytes", limits.ring_bytes, 64 * KIB..=256 * MIB)?;
        within("limits.history_bytes", limits.history_bytes, 0..=GIB)?;
        within("limits.ended", limits.ended as u64, 0..=65_536)?;
        duration("limits.series_linger", limits.series_linger, Duration::ZERO..=Duration::from_secs(3600))?;
        within("limits.nested", limits.nested.into(), 64..=1 << 20)?;
        within("history.max_bytes", self.history.max_bytes, 8 * MIB..=1024 * GIB)?;
        let age = Duration::from_secs(60)..=Duration::from_secs(3650 * 86_400);
        duration("history.max_age", self.history.max_age, age)?;
        within("events.file_max_bytes", self.events.file_max_bytes, 64 * KIB..=1024 * GIB)
    }

    fn validate_tracers(&self) -> Result<(), Invalid> {
        let tracers = &self.tracers;
        duration("tracers.detach_after", tracers.detach_after, Duration::ZERO..=Duration::from_secs(3600))?;
        tracers.preload.iter().try_for_each(|name| named("tracers.preload", name))?;
        tracers.budget.check().map_err(|e| Invalid::new("tracers.budget", e))?;
        for (tracer, budget) in &tracers.budgets {
            named("tracers.budgets", tracer)?;
            budget.check().map_err(|e| Invalid::new(format!("tracers.budgets.{tracer}"), e))?;
        }
        for (tracer, params) in &tracers.params {
            named("tracers.params", tracer)?;
            let key = format!("tracers.params.{tracer}");
            params.keys().try_for_each(|param| named(&key, param))?;
            let negative = |value: &ParamValue| matches!(value, ParamValue::Number(n) if *n < 0);
            if let Some((param, value)) = params.iter().find(|(_, value)| negative(value)) {
                return Err(Invalid::new(format!("{key}.{param}"), format!("is {value}: none is negative")));
            }
        }
        Ok(())
    }

    fn validate_scan(&self) -> Result<(), Invalid> {
        const KEY: &str = "scan.runtime_roots";
        for root in &self.scan.runtime_roots {
            absolute(KEY, Path::new(root))?;
            glob::Pattern::new(root)
                .map_err(|e| Invalid::new(KEY, format!("holds {root:?}, which is no pattern: {e}")))?;
        }
        Ok(())
    }

    fn validate_nri(&self) -> Result<(), Invalid> {
        let nri = &self.managers.nri;
        socket("managers.nri.socket", &nri.socket)?;
        nri.hook.as_deref().map_or(Ok(()), |hook| absolute("managers.nri.hook", hook))?;
        nri.check_index().map_err(|why| Invalid::new("managers.nri.index", why))
    }
}

fn absolute(key: &str, path: &Path) -> Result<(), Invalid> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Invalid::new(key, format!("is {:?}, which is no absolute path", path.display().to_string())))
}

fn socket(key: &str, path: &Path) -> Result<(), Invalid> {
    absolute(key, path)?;
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(());
    }
    Err(Invalid::new(
        key,
        format!("is longer than the {MAX_SOCKET_PATH} bytes that a socket's path may have"),
    ))
}

fn remote(key: &str, at: Option<SocketAddr>, token_key: &str, token: Option<&Path>) -> Result<(), Invalid> {
    token.map_or(Ok(()), |token| absolute(token_key, token))?;
    match at.filter(|at| !at.ip().is_loopback() && token.is_none()) {
        Some(at) => Err(Invalid::new(key, format!("is {at}, beyond loopback: set {token_key}, too"))),
        None => Ok(()),
    }
}

fn within(key: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), Invalid> {
    out_of(key, range.contains(&value), value, range.start(), range.end())
}

fn duration(key: &str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), Invalid> {
    let [shown, low, high] = [value, *range.start(), *range.end()].map(humantime::format_duration);
    out_of(key, range.contains(&value), shown, low, high)
}

fn out_of(
    key: &str,
    ok: bool,
    value: impl Display,
    low: impl Display,
    high: impl Display,
) -> Result<(), Invalid> {
    if ok { Ok(()) } else { Err(Invalid::new(key, format!("is {value}, must lie within {low} and {high}"))) }
}

fn named(key: &str, name: &str) -> Result<(), Invalid> {
    if valid_name(name) {
        return Ok(());
    }
    Err(Invalid::new(key, format!("holds {name:?}: a name is 1 to 64 of a-z, 0-9, _ and -")))
}
