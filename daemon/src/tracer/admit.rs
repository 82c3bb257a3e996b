//! Which tracers there are: files understood and admitted, or refused by name.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::contract::Description;
use super::engine::{Engine, Tracer};
use super::open::TracerError;
use super::{ObjectFile, Opened, kernel, trial};
use crate::directory::Decoder;

impl Engine {
    /// Takes in the built-in tracers, those of a folder, and those loaded while an earlier daemon ran. One that is
    /// refused is said and shown so, and does not keep the others from working.
    pub fn add_all(&mut self, dir: &Path) {
        let _hold = kernel::hold();
        for file in ObjectFile::embedded() {
            let name = PathBuf::from(&file.origin);
            self.add_or_refuse(name, Ok(file));
        }
        for (path, file) in ObjectFile::folder(dir) {
            self.add_or_refuse(path, file.map_err(|e| e.to_string()));
        }
        for (path, file) in self.settings.objects() {
            self.add_or_refuse(path, file);
        }
        for name in self.settings.configured() {
            if !self.tracers.contains_key(name) {
                tracing::error!(
                    "failed to configure tracers.params.{name} or tracers.budgets.{name}: there is no such tracer"
                );
            }
        }
    }

    fn add_or_refuse(&mut self, path: PathBuf, file: Result<ObjectFile, String>) {
        if let Err(why) = file.and_then(|f| self.add(f).map_err(|e| e.to_string())) {
            tracing::error!("{why}");
            self.refused.push((path, why));
        }
    }

    /// Makes a tracer known. It is understood or refused here, and loaded later.
    fn add(&mut self, file: ObjectFile) -> Result<(), TracerError> {
        if !file.builtin {
            trial::survives(&file)?;
        }
        let mut opened = Opened::open(&file)?;
        let name = opened.read.description.name.clone();
        self.admit(&file, &opened.read.description)?;
        let configured = opened.configure(0, 0, &self.settings.params(&name));
        let problem = configured.err().map(|e| e.to_string());
        if let Some(problem) = &problem {
            tracing::error!("{problem}");
        }
        self.adopt_decoder(&name, &file);
        let mut tracer = Tracer::new(file, opened.read.description, problem);
        tracer.base = self.tracers.remove(&name).map(|before| before.file);
        self.tracers.insert(name, tracer);
        Ok(())
    }

    /// Names that mean something else already are refused: of tracers, and of metrics. Only what is loaded over the
    /// API stands in the place of another.
    pub(super) fn admit(&self, file: &ObjectFile, new: &Description) -> Result<(), TracerError> {
        let refused = |why| Err(TracerError { verb: "add", origin: file.origin.clone(), why });
        let name = &new.name;
        if let Some(other) = self.tracers.get(name).filter(|_| !file.replaces) {
            return refused(format!("{} is already called {name}", other.file.origin));
        }
        for other in self.tracers.values().filter(|t| t.description.name != *name) {
            let theirs = &other.description.metrics;
            if let Some(same) = new.metrics.iter().find(|m| theirs.iter().any(|t| t.name == m.name)) {
                return refused(format!("{} already has a metric {}", other.file.origin, same.name));
            }
            let theirs = &other.description.tables;
            if let Some(same) = new.tables.iter().find(|m| theirs.iter().any(|t| t.name == m.name)) {
                return refused(format!("{} already has a table {}", other.file.origin, same.name));
            }
        }
        Ok(())
    }

    /// Records that an earlier daemon's object left in the ring are still understood.
    fn adopt_decoder(&self, name: &str, file: &ObjectFile) {
        let Some((kept, old)) = self.keep.read(name) else { return };
        if old.fingerprint() == file.fingerprint() {
            return;
        }
        let Some(stats) = self.keep.stats(name, self.shared.containers) else { return };
        if let Ok(opened) = Opened::open(&old) {
            let decoder = Decoder { events: Arc::new(opened.read.events), stats: Arc::new(stats) };
            self.directory.put_decoder(kept.number, decoder);
        }
    }
}
