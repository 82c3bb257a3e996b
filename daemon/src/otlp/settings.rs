//! `[otlp]`

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Without one nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Holds a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    pub logs: bool,
    pub metrics: bool,
    /// Between one sending of metrics and the next.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// What the collector has for one answer.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            token_file: None,
            logs: true,
            metrics: true,
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Where a collector listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// `http://ADDRESS:PORT[/PATH]` or `unix:/PATH`: the place, and what stands before `/v1/logs`. No names, since the static
/// binary does not resolve them, and no TLS: a collector on the node does both.
pub fn parse(endpoint: &str) -> Result<(Place, String), String> {
    let wrong = || {
        format!(
            "is {endpoint:?}: write http://ADDRESS:PORT with an IP address, or unix:/PATH; for names and TLS, send to a collector on the node"
        )
    };
    if let Some(path) = endpoint.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.starts_with('/') {
            Ok((Place::Unix(path.into()), String::new()))
        } else {
            Err(wrong())
        };
    }
    let rest = endpoint.strip_prefix("http://").ok_or_else(wrong)?;
    let (address, base) = rest.split_once('/').map_or((rest, ""), |(a, b)| (a, b.trim_end_matches('/')));
    let address =
        address.strip_prefix("localhost:").map_or_else(|| address.to_owned(), |p| format!("127.0.0.1:{p}"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let base = if base.is_empty() { String::new() } else { format!("/{base}") };
    match address.parse() {
        Ok(address) if base.bytes().all(plain) => Ok((Place::Tcp(address), base)),
        _ => Err(wrong()),
    }
}
