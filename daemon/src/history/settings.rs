//! `[history]`

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{bytes, duration};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Off unless somebody wants it: it costs processor time for each event, and puts what containers say of themselves, their
    /// arguments for one, on disk.
    pub enabled: bool,
    /// The file with its log.
    #[serde(with = "bytes")]
    pub max_bytes: u64,
    #[serde(with = "duration")]
    pub max_age: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self { enabled: false, max_bytes: 64 << 20, max_age: Duration::from_secs(7 * 86_400) }
    }
}
