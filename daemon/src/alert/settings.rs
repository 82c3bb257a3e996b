//! `[alerts]`

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use remora_alert::engine;
use serde::{Deserialize, Serialize};

use crate::config::{bytes, duration};
use crate::outlet::address;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    pub enabled: bool,
    pub rules_dir: PathBuf,
    /// Whether those that come with the daemon are used.
    pub shipped_rules: bool,
    /// Whether it is learned what images do.
    pub profiles: bool,
    /// An incident that nothing was added to for so long is over.
    #[serde(with = "duration")]
    pub window: Duration,
    /// What a profile must have seen, at least, before it is believed.
    #[serde(with = "duration")]
    pub learn: Duration,
    /// For all that rules, profiles and incidents remember.
    #[serde(with = "bytes")]
    pub memory: u64,
    pub alertmanager: Alertmanager,
    pub webhook: Webhook,
    pub syslog: Syslog,
    pub file: File,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alertmanager {
    /// Each gets everything: those of a cluster do not share alerts.
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long an alert fires at least, so that what was over soon is notified, too.
    #[serde(with = "duration")]
    pub hold: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(with = "duration")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Syslog {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    #[serde(with = "bytes")]
    pub max_bytes: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            enabled: true,
            rules_dir: "/etc/remora/rules.d".into(),
            shipped_rules: true,
            profiles: true,
            window: Duration::from_secs(15 * 60),
            learn: Duration::from_secs(3600),
            memory: 24 << 20,
            alertmanager: Alertmanager::default(),
            webhook: Webhook::default(),
            syslog: Syslog::default(),
            file: File::default(),
        }
    }
}

impl Alerts {
    /// As the engine takes them.
    pub fn limits(&self) -> engine::Settings {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Without profiles none is ever believed.
        let learn = if self.profiles { ns(self.learn) } else { u64::MAX };
        let memory = usize::try_from(self.memory).unwrap_or(usize::MAX);
        engine::Settings { window: ns(self.window), learn, memory }
    }
}

impl Default for Alertmanager {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            token_file: None,
            timeout: Duration::from_secs(10),
            hold: Duration::from_secs(300),
        }
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self { url: None, token_file: None, timeout: Duration::from_secs(10) }
    }
}

impl Default for File {
    fn default() -> Self {
        Self { path: None, max_bytes: 16 << 20 }
    }
}

/// Where syslog is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogPlace {
    Udp(SocketAddr),
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// `udp://ADDRESS:PORT`, `tcp://ADDRESS:PORT` or `unix:/PATH`.
pub fn syslog(text: &str) -> Result<SyslogPlace, String> {
    let place = match text.split_once("://") {
        Some(("udp", rest)) => address::socket(rest).map(SyslogPlace::Udp),
        Some(("tcp", rest)) => address::socket(rest).map(SyslogPlace::Tcp),
        _ => address::unix(text).flatten().map(SyslogPlace::Unix),
    };
    place.ok_or_else(|| {
        format!(
            "is {text:?}: write udp://ADDRESS:PORT or tcp://ADDRESS:PORT with an IP address, or unix:/PATH"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_is_at_an_address_or_a_path() {
        let at = "127.0.0.1:514".parse().unwrap();
        assert_eq!(syslog("udp://127.0.0.1:514"), Ok(SyslogPlace::Udp(at)));
        assert_eq!(syslog("tcp://localhost:514"), Ok(SyslogPlace::Tcp(at)));
        assert_eq!(syslog("unix:/dev/log"), Ok(SyslogPlace::Unix("/dev/log".into())));
        for wrong in ["", "127.0.0.1:514", "udp://host:514", "tls://127.0.0.1:6514", "unix:log", "/dev/log"] {
            assert!(syslog(wrong).is_err_and(|why| why.contains("unix:/PATH")), "{wrong}");
        }
    }
}
