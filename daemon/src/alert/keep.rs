//! Told incidents on disk, a file each: after a restart they are still shown, and those that were open come to an end.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use remora_alert::incident::{Incident, State};
use remora_alert::time;

use crate::tracer::keep::write;

/// Below the state's folder, for root alone: arguments and paths of containers are in it.
pub const FOLDER: &str = "alerts";
/// Likewise, what images are known to do.
pub const PROFILES: &str = "profiles";

#[derive(Debug)]
pub struct Keep(PathBuf);

impl Keep {
    pub fn new(alerts: &Path) -> io::Result<Self> {
        let dir = alerts.join("incidents");
        private(&dir)?;
        Ok(Self(dir))
    }

    /// In the order in which they began.
    pub fn read(&self) -> Vec<Incident> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|e| e.path());
        let parse = |path: PathBuf| match serde_json::from_slice(&fs::read(&path).ok()?) {
            Ok(incident) => Some(incident),
            Err(e) => {
                tracing::warn!("failed to read {}: {e}", path.display());
                let _ = fs::remove_file(path);
                None
            }
        };
        let mut all: Vec<Incident> = entries.filter_map(parse).collect();
        all.sort_by(|a, b| (&a.first, &a.id).cmp(&(&b.first, &b.id)));
        all
    }

    pub fn put(&self, incident: &Incident) {
        let text = serde_json::to_vec(incident).unwrap_or_default();
        if let Err(e) = write(&self.path(&incident.id), &text) {
            tracing::warn!("failed to keep incident {}: {e}", incident.id);
        }
    }

    pub fn remove(&self, id: &str) {
        let _ = fs::remove_file(self.path(id));
    }

    /// The engine's ids are ASCII words.
    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{}.json", id.replace('/', "_")))
    }
}

pub fn private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Open incidents of an earlier daemon, which this one's engine knows nothing of.
#[derive(Debug)]
pub struct Orphans {
    all: Vec<Incident>,
    /// In nanoseconds.
    window: u64,
}

impl Orphans {
    pub fn new(all: &[Incident], window: u64) -> Self {
        let open = all.iter().filter(|i| i.state == State::Open);
        Self { all: open.cloned().collect(), window }
    }

    /// The engine tells of it itself.
    pub fn known(&mut self, id: &str) {
        self.all.retain(|i| i.id != id);
    }

    /// Those that nothing was added to for the window: they are over.
    pub fn over(&mut self, now: u64) -> Vec<Incident> {
        let window = self.window;
        let is_over = |i: &mut Incident| time::parse(&i.last).unwrap_or(0) + window <= now;
        let end = |mut incident: Incident| {
            incident.state = State::Over;
            incident.over = Some(time::format(now));
            incident
        };
        self.all.extract_if(.., is_over).map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use remora_alert::alarm::Severity;

    use super::*;
    use crate::alert::board::tests::incident;

    #[test]
    fn what_was_open_before_a_restart_is_over_after_its_window() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep::new(dir.path()).unwrap();
        for (id, state) in
            [("i-1", State::Open), ("i-2", State::Over), ("i-3", State::Open), ("i-4", State::Open)]
        {
            keep.put(&incident(id, state, Severity::High));
        }
        keep.remove("i-4");
        fs::write(dir.path().join("incidents/i-5.json"), "{").unwrap();
        let all = Keep::new(dir.path()).unwrap().read();
        assert_eq!(all.len(), 3);
        let mut orphans = Orphans::new(&all, 10);
        orphans.known("i-3");
        let last = time::parse(&all[0].last).unwrap();
        assert!(orphans.over(last + 9).is_empty());
        let over = orphans.over(last + 10);
        assert_eq!((over.len(), over[0].id.as_str(), over[0].state), (1, "i-1", State::Over));
        assert!(over[0].over.is_some() && orphans.over(last + 99).is_empty());
    }
}
