//! Records on disk: one file a generation, so that the daemon that comes next knows who is there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::record::{Key, Record};
use crate::tracer::keep::{fnv1a, write};

#[derive(Debug)]
pub struct Store {
    live: PathBuf,
    ended: PathBuf,
    /// How many ended ones are kept.
    keep: usize,
}

impl Store {
    pub fn new(state: &Path, keep: usize) -> io::Result<Self> {
        let store = Self { live: state.join("containers"), ended: state.join("ended"), keep };
        fs::create_dir_all(&store.live)?;
        fs::create_dir_all(&store.ended)?;
        Ok(store)
    }

    /// Ids are the runtime's words, so they are not used as file names.
    fn name(key: &Key) -> String {
        let hash = fnv1a(key.id.bytes().chain(key.start_time.to_le_bytes()));
        format!("{:020}-{hash:016x}.json", key.cgroup)
    }

    pub fn put(&self, record: &Record) -> io::Result<()> {
        write(&self.live.join(Self::name(&record.key)), &serde_json::to_vec(record)?)
    }

    /// Takes back a record that did not come to be.
    pub fn remove(&self, key: &Key) {
        let _ = fs::remove_file(self.live.join(Self::name(key)));
    }

    /// Moves a record to those that ended, and drops the oldest of these past the bound.
    pub fn end(&self, record: &Record) -> io::Result<()> {
        // One that was let go of may be wanted again, and have several accounts.
        let account = fnv1a(record.ledger.observed_from.bytes());
        let name = format!("{account:016x}-{}", Self::name(&record.key));
        write(&self.ended.join(&name), &serde_json::to_vec(record)?)?;
        self.remove(&record.key);
        let mut names = Self::list(&self.ended);
        names.sort_by_key(|p| fs::metadata(p).and_then(|m| m.modified()).ok());
        let over = names.len().saturating_sub(self.keep);
        names.drain(..over).for_each(|old| drop(fs::remove_file(old)));
        Ok(())
    }

    /// Records of containers that lived when last heard of.
    pub fn live(&self) -> Vec<Record> {
        Self::read(&self.live)
    }

    /// Records of ended ones, oldest first.
    pub fn ended(&self) -> Vec<Record> {
        let mut all = Self::read(&self.ended);
        all.sort_by(|a, b| a.ledger.observed_to.cmp(&b.ledger.observed_to));
        all
    }

    fn list(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect()
    }

    fn read(dir: &Path) -> Vec<Record> {
        let parse = |path: PathBuf| {
            let record = serde_json::from_slice(&fs::read(&path).ok()?);
            record.map_err(|e| tracing::warn!("failed to read record {}: {e}", path.display())).ok()
        };
        Self::list(dir).into_iter().filter_map(parse).collect()
    }
}
