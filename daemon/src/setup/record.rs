//! What was installed: each file as it was and as we left it. It is kept with remora's configuration, since it must
//! outlive both state and binaries.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Kind, Options, files};

const FOLDER: &str = "installed";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// In the order in which they were written.
    pub files: Vec<Entry>,
    /// Folders that we made, the innermost last.
    pub made: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// As the manager sees it.
    pub path: PathBuf,
    pub kind: Kind,
    /// None: there was no such file.
    pub before: Option<String>,
    pub after: String,
}

impl Record {
    fn path(options: &Options) -> PathBuf {
        folder(options).join(format!("{}.json", options.runtime.name()))
    }

    pub fn load(options: &Options) -> anyhow::Result<Option<Self>> {
        read(&Self::path(options))
    }

    pub fn save(&self, options: &Options) -> anyhow::Result<()> {
        // A configuration may hold secrets, and so does its copy.
        files::write(&Self::path(options), &(serde_json::to_string_pretty(self)? + "\n"), 0o600)
    }

    /// Where it will be; what of it was not there.
    pub fn make_folders(options: &Options) -> anyhow::Result<Vec<PathBuf>> {
        files::make_folders(&Self::path(options))
    }

    pub fn remove(options: &Options) -> anyhow::Result<()> {
        files::remove(&Self::path(options))?;
        let _ = fs::remove_dir(folder(options));
        Ok(())
    }

    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.path == path)
    }
}

/// Which other manager uses this file, too, by the name of its record.
pub fn other_user(options: &Options, path: &Path) -> anyhow::Result<Option<String>> {
    for file in fs::read_dir(folder(options)).into_iter().flatten() {
        let file = file?.path();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if file.extension().is_none_or(|e| e != "json") || name == options.runtime.name() {
            continue;
        }
        if read(&file)?.is_some_and(|record| record.entry(path).is_some()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Folders that we made and that another manager's files are still in: its record sees to them from now on.
pub fn hand_over(options: &Options, made: &[PathBuf]) -> anyhow::Result<()> {
    let left: Vec<&PathBuf> = made.iter().filter(|folder| folder.exists()).collect();
    let file = fs::read_dir(folder(options)).into_iter().flatten().flatten().map(|file| file.path()).next();
    if let Some(path) = file.filter(|_| !left.is_empty())
        && let Some(mut other) = read(&path)?
    {
        other.made.splice(0..0, left.into_iter().cloned());
        files::write(&path, &(serde_json::to_string_pretty(&other)? + "\n"), 0o600)?;
    }
    Ok(())
}

fn folder(options: &Options) -> PathBuf {
    options.on_disk(&options.etc_dir).join(FOLDER)
}

fn read(path: &Path) -> anyhow::Result<Option<Record>> {
    let parsed = |text: String| serde_json::from_str(&text);
    let record = files::read_record(path)?.map(parsed).transpose();
    record.with_context(|| format!("failed to parse {}", path.display()))
}
