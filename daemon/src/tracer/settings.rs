//! What was changed while the daemon ran, and holds for the next one too: over the configuration, not into it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::ObjectFile;
use super::budget::Budget;
use super::keep::write;
use super::params::Values;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Changes {
    /// Tracers that nobody has until they are started again, and why.
    stopped: BTreeMap<String, String>,
    params: BTreeMap<String, Values>,
    budgets: BTreeMap<String, Budget>,
}

/// What the configuration says of tracers.
#[derive(Debug, Default)]
pub struct Configured {
    pub params: BTreeMap<String, Values>,
    pub budget: Budget,
    pub budgets: BTreeMap<String, Budget>,
}

#[derive(Debug)]
pub struct Settings {
    file: PathBuf,
    /// Objects loaded over the API: `NAME.o`.
    objects: PathBuf,
    configured: Configured,
    changes: Changes,
}

impl Settings {
    /// What cannot be read is said, and counts as nothing.
    pub fn load(state: &Path, configured: Configured) -> io::Result<Self> {
        let (file, objects) = (state.join("changes.json"), state.join("objects"));
        fs::create_dir_all(&objects)?;
        let changes = match fs::read(&file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Changes::default(),
            Err(e) => return Err(e),
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|e| {
                tracing::error!("failed to read {}: {e}; changes made at run time are gone", file.display());
                Changes::default()
            }),
        };
        Ok(Self { file, objects, configured, changes })
    }

    fn save(&self) -> io::Result<()> {
        write(&self.file, &serde_json::to_vec_pretty(&self.changes)?)
    }

    /// A tracer's parameters for all containers.
    pub fn params(&self, tracer: &str) -> Values {
        let mut all = self.configured.params.get(tracer).cloned().unwrap_or_default();
        all.extend(self.changed_params(tracer));
        all
    }

    /// Of these, what was changed while the daemon ran.
    pub fn changed_params(&self, tracer: &str) -> Values {
        self.changes.params.get(tracer).cloned().unwrap_or_default()
    }

    pub fn change_params(&mut self, tracer: &str, values: Values) -> io::Result<()> {
        self.changes.params.insert(tracer.to_owned(), values);
        self.save()
    }

    /// Why a tracer is stopped, if it is.
    pub fn stopped(&self, tracer: &str) -> Option<&str> {
        self.changes.stopped.get(tracer).map(String::as_str)
    }

    pub fn stop(&mut self, tracer: &str, why: &str) -> io::Result<()> {
        self.changes.stopped.insert(tracer.to_owned(), why.to_owned());
        self.save()
    }

    pub fn start(&mut self, tracer: &str) -> io::Result<()> {
        self.changes.stopped.remove(tracer);
        self.save()
    }

    /// Tracers that the configuration speaks of.
    pub fn configured(&self) -> BTreeSet<&str> {
        let Configured { params, budgets, .. } = &self.configured;
        params.keys().chain(budgets.keys()).map(String::as_str).collect()
    }

    /// How much a tracer may cost.
    pub fn budget(&self, tracer: &str) -> Budget {
        let own = self.changes.budgets.get(tracer).or_else(|| self.configured.budgets.get(tracer));
        own.copied().unwrap_or(self.configured.budget)
    }

    pub fn set_budget(&mut self, tracer: &str, budget: Budget) -> io::Result<()> {
        self.changes.budgets.insert(tracer.to_owned(), budget);
        self.save()
    }

    fn object(&self, tracer: &str) -> PathBuf {
        self.objects.join(format!("{tracer}.o"))
    }

    /// Objects loaded while the daemon ran.
    pub fn objects(&self) -> Vec<(PathBuf, Result<ObjectFile, String>)> {
        let all = ObjectFile::folder(&self.objects).into_iter();
        let over = |mut file: ObjectFile| {
            file.replaces = true;
            file
        };
        all.map(|(path, file)| (path, file.map(over).map_err(|e| e.to_string()))).collect()
    }

    pub fn has_object(&self, tracer: &str) -> bool {
        self.object(tracer).exists()
    }

    pub fn keep_object(&self, tracer: &str, file: &ObjectFile) -> io::Result<()> {
        write(&self.object(tracer), &file.bytes())
    }

    pub fn drop_object(&self, tracer: &str) -> io::Result<()> {
        fs::remove_file(self.object(tracer))
    }

    /// Forgets all that was changed of a tracer.
    pub fn forget(&mut self, tracer: &str) -> io::Result<()> {
        self.changes.stopped.remove(tracer);
        self.changes.params.remove(tracer);
        self.changes.budgets.remove(tracer);
        self.save()
    }
}
