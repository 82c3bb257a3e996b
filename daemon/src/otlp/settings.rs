//! `[otlp]`

use std::{path::PathBuf, time::Duration};

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
