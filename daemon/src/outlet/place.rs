//! Up to where events have been taken, on disk.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::tracer::keep::write;

/// How often it is written at most: a daemon that is killed does so much again.
const PACE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The ring that the cursor is of.
    pub epoch: u64,
    pub cursor: u64,
}

#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    place: Option<Place>,
    /// Whether the file says so.
    written: bool,
    at: Option<Instant>,
}

impl Kept {
    pub fn read(path: &Path) -> Self {
        let place = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path: path.to_owned(), place, written: true, at: None }
    }

    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Writes it, unless that was done just now and more follows at once.
    pub fn put(&mut self, place: Place, rest: bool) {
        self.place = Some(place);
        self.written = false;
        if rest || self.at.is_none_or(|at| at.elapsed() >= PACE) {
            self.write();
        }
    }

    fn write(&mut self) {
        let text = serde_json::to_vec(&self.place).unwrap_or_default();
        if let Err(e) = write(&self.path, &text) {
            tracing::warn!("failed to write {}: {e}", self.path.display());
        }
        (self.written, self.at) = (true, Some(Instant::now()));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.written {
            self.write();
        }
    }
}
