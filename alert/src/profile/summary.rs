//! A profile in a line.

use serde::Serialize;

use super::key::Key;
use super::one::{Profile, State};
use crate::time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// IMAGE@DIGEST[/ROLE].
    pub key: String,
    #[serde(flatten)]
    pub of: Key,
    pub state: State,
    pub entries: usize,
    /// Behaviours that wait for others to do them, too.
    pub waiting: usize,
    /// Seen in all.
    pub containers: u64,
    pub events: u64,
    /// RFC 3339; "" before the first event.
    pub since: String,
    pub last: String,
    pub bytes: usize,
}

impl Summary {
    pub(super) fn of(profile: &Profile) -> Self {
        let shown = |at: u64| if at == 0 { String::new() } else { time::format(at) };
        Self {
            key: profile.key.to_string(),
            of: (*profile.key).clone(),
            state: profile.state(),
            entries: profile.entries(),
            waiting: profile.pending.len(),
            containers: profile.containers,
            events: profile.events,
            since: shown(profile.first),
            last: shown(profile.last),
            bytes: profile.memory(),
        }
    }
}
