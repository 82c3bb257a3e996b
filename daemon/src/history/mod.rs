//! What was, kept on disk within bounds of size and age: events, and the accounts of containers that ended. A thread of
//! its own pulls events by cursor, as any reader does, so that a slow disk delays nobody; the cursor is stored with the
//! events, so that each is there once, whatever is killed when.

mod account;
mod chunk;
mod database;
mod feed;
mod read;
mod settings;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

pub use account::{Account, Left, Metric, Table};
pub use feed::{Feed, Page};
pub use read::{Item, Query, Reading};
pub use settings::History as Settings;
pub use writer::{Teller, start};

/// Below the state's folder: a folder of its own, which may be another disk.
pub const FOLDER: &str = "history";

pub fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER).join("events.db")
}

/// Where to read, and how storing fares.
#[derive(Debug, Clone)]
pub struct Handle {
    path: Arc<Path>,
    epoch: u64,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    up: AtomicBool,
    /// Whether it was tried at all.
    tried: AtomicBool,
    /// The cursor up to which events are stored.
    reached: AtomicU64,
    bytes: AtomicU64,
    limit: AtomicU64,
    stored: AtomicU64,
    gaps: AtomicU64,
    full: AtomicU64,
    damaged: AtomicU64,
    failed: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Whether it was written when it was last tried.
    pub up: bool,
    pub bytes: u64,
    pub limit: u64,
    /// Events.
    pub stored: u64,
    /// How often events were forgotten before they could be stored.
    pub gaps: u64,
    /// Failures, by reason.
    pub failures: [(&'static str, u64); 3],
}

impl Handle {
    pub fn new(state_dir: &Path, epoch: u64) -> Self {
        Self { path: file(state_dir).into(), epoch, figures: Arc::default() }
    }

    pub fn state(&self) -> State {
        let f = &self.figures;
        State {
            up: f.up.load(Relaxed),
            bytes: f.bytes.load(Relaxed),
            limit: f.limit.load(Relaxed),
            stored: f.stored.load(Relaxed),
            gaps: f.gaps.load(Relaxed),
            failures: [
                ("disk_full", f.full.load(Relaxed)),
                ("damaged", f.damaged.load(Relaxed)),
                ("other", f.failed.load(Relaxed)),
            ],
        }
    }

    /// Whether what comes is being stored, as far as is known.
    fn is_up(&self) -> bool {
        self.figures.up.load(Relaxed) || !self.figures.tried.load(Relaxed)
    }

    fn reached(&self) -> u64 {
        self.figures.reached.load(Relaxed)
    }

    pub fn read(&self, query: Query) -> Reading {
        Reading::new(&self.path, query)
    }

    /// Accounts of ended containers, newest first.
    pub async fn ended(&self, wanted: Option<String>, most: usize) -> anyhow::Result<Vec<Account>> {
        let path = self.path.clone();
        let read = move || read::ended(&path, wanted.as_deref(), most);
        let bodies = tokio::task::spawn_blocking(read).await??;
        let parse = |body: Vec<u8>| {
            let account = serde_json::from_slice(&body);
            account.map_err(|e| tracing::warn!("failed to read an account from the history: {e}")).ok()
        };
        Ok(bodies.into_iter().filter_map(parse).collect())
    }
}
