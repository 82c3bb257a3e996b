//! From what must be to what is done: everything is worked out and shown first, then written file by file; if one
//! fails, those before it are put back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use diffy::DiffOptions;

use super::record::{Entry, Record, hand_over, other_user};
use super::{Kind, Options, Was, files};

/// One file, on disk.
#[derive(Debug)]
pub struct Change {
    pub path: PathBuf,
    /// None: there is no such file.
    pub old: Option<String>,
    /// None: it goes.
    pub new: Option<String>,
    mode: u32,
    /// Nobody of us has changed it before.
    first: bool,
}

/// What is to be done, and not done yet.
#[derive(Debug)]
pub struct Work {
    pub changes: Vec<Change>,
    /// What a person should know beside the differences.
    pub notes: Vec<String>,
    old: Option<Record>,
    /// None: nothing of ours is left, and the record goes.
    record: Option<Record>,
}

impl Entry {
    fn was(&self) -> Was<'_> {
        self.before.as_deref().map_or(Was::Absent, Was::Text)
    }
}

impl Work {
    pub fn install(options: &Options) -> anyhow::Result<Self> {
        let old = Record::load(options)?;
        let targets = options.plan()?;
        let mut record = old.clone().unwrap_or_default();
        record.files.retain(|entry| targets.iter().all(|target| target.path != entry.path));
        let mut changes = Vec::new();
        for target in targets {
            let Some(after) = target.wanted else { continue };
            let known = old.as_ref().and_then(|record| record.entry(&target.path));
            let before = match (known, &target.current) {
                (_, None) => None,
                (Some(known), Some(text)) if *text == known.after => known.before.clone(),
                (_, Some(text)) => target
                    .kind
                    .strip(text, known.map_or(Was::Unknown, Entry::was))
                    .with_context(named(&target.path))?,
            };
            record.files.push(Entry {
                path: target.path.clone(),
                kind: target.kind,
                before,
                after: after.clone(),
            });
            if target.current.as_ref() != Some(&after) {
                let path = files::resolve(&options.on_disk(&target.path), &options.root)?;
                let first = known.is_none() && other_user(options, &target.path)?.is_none();
                changes.push(Change {
                    path,
                    old: target.current,
                    new: Some(after),
                    mode: target.mode,
                    first,
                });
            }
        }
        Ok(Self { changes, notes: Vec::new(), old, record: Some(record) })
    }

    /// The manager's own configuration first.
    pub fn uninstall(options: &Options) -> anyhow::Result<Self> {
        let old = Record::load(options)?;
        let places = match &old {
            Some(record) => record.files.iter().map(|entry| (entry.path.clone(), entry.kind)).collect(),
            None => options.places(),
        };
        let (mut changes, mut notes) = (Vec::new(), Vec::new());
        for (path, kind) in places.into_iter().rev() {
            if kind == Kind::Whole
                && let Some(other) = other_user(options, &path)?
            {
                notes.push(format!("{} stays: {other} uses it, too", path.display()));
                continue;
            }
            let disk = files::resolve(&options.on_disk(&path), &options.root)?;
            let Some(text) = files::read(&disk)? else { continue };
            let entry = old.as_ref().and_then(|record| record.entry(&path));
            let new = without_us(&text, kind, entry).with_context(named(&path))?;
            if new.as_ref() != Some(&text) {
                changes.push(Change { path: disk, old: Some(text), new, mode: 0o644, first: false });
            }
        }
        Ok(Self { changes, notes, old, record: None })
    }

    pub fn diff(&self) -> String {
        self.changes.iter().map(Change::diff).collect()
    }

    /// All or nothing.
    pub fn apply(self, options: &Options) -> anyhow::Result<()> {
        for change in &self.changes {
            let same = files::read(&change.path)? == change.old;
            ensure!(same, "{} was changed meanwhile: nothing was done", change.path.display());
        }
        match &self.record {
            Some(record) => self.apply_record(record.clone(), options),
            None => {
                self.write_all(|_| Ok(()))?;
                self.clean(options)
            }
        }
    }

    fn apply_record(&self, mut record: Record, options: &Options) -> anyhow::Result<()> {
        record.made.extend(Record::make_folders(options)?);
        for change in &self.changes {
            record.made.extend(files::make_folders(&change.path)?);
        }
        if self.old.as_ref() != Some(&record) {
            record.save(options)?;
        }
        let written = self.write_all(Change::keep_a_copy);
        if written.is_err() {
            match &self.old {
                Some(old) => old.save(options)?,
                None => Record::remove(options)?,
            }
            unmake(&record.made);
        }
        written
    }

    fn write_all(&self, first: impl Fn(&Change) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for (done, change) in self.changes.iter().enumerate() {
            let written = first(change).and_then(|()| change.write(change.new.as_deref()));
            if let Err(e) = written {
                for before in self.changes[..done].iter().rev() {
                    before
                        .write(before.old.as_deref())
                        .context("failed to put back what was changed so far")?;
                }
                return Err(e);
            }
        }
        Ok(())
    }

    /// Copies, record and folders go with our last part.
    fn clean(&self, options: &Options) -> anyhow::Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        for entry in &old.files {
            if other_user(options, &entry.path)?.is_some() {
                continue;
            }
            files::remove(&copy_of(&files::resolve(&options.on_disk(&entry.path), &options.root)?))?;
        }
        Record::remove(options)?;
        unmake(&old.made);
        hand_over(options, &old.made)
    }
}

/// What a file is without our parts: as it was, if nobody changed it since.
fn without_us(text: &str, kind: Kind, entry: Option<&Entry>) -> anyhow::Result<Option<String>> {
    match entry {
        Some(entry) if text == entry.after => Ok(entry.before.clone()),
        Some(entry) if Some(text) == entry.before.as_deref() => Ok(entry.before.clone()),
        Some(entry) => kind.strip(text, entry.was()),
        None if kind == Kind::Whole && !text.contains("remora") => Ok(Some(text.to_owned())),
        None => kind.strip(text, Was::Unknown),
    }
}

impl Change {
    fn diff(&self) -> String {
        let text = |side: &Option<String>| side.clone().unwrap_or_default();
        let (old, new) = (text(&self.old), text(&self.new));
        let path = self.path.display().to_string();
        let name = |side: &Option<String>| side.as_ref().map_or("/dev/null", |_| path.as_str()).to_owned();
        let mut options = DiffOptions::new();
        options.set_original_filename(name(&self.old)).set_modified_filename(name(&self.new));
        options.create_patch(&old, &new).to_string()
    }

    fn write(&self, text: Option<&str>) -> anyhow::Result<()> {
        match text {
            Some(text) => files::write(&self.path, text, self.mode),
            None => files::remove(&self.path),
        }
    }

    /// Beside the file, for a person: as it was before we first changed it.
    fn keep_a_copy(&self) -> anyhow::Result<()> {
        let (Some(text), true) = (&self.old, self.first) else { return Ok(()) };
        let copy = copy_of(&self.path);
        let mode = fs::metadata(&self.path).map_or(0o600, |meta| meta.permissions().mode() & 0o7777);
        files::remove(&copy)?;
        files::write(&copy, text, mode)
    }
}

fn copy_of(path: &Path) -> PathBuf {
    let mut copy = path.as_os_str().to_owned();
    copy.push(".remora-backup");
    copy.into()
}

/// As far as they are empty again.
fn unmake(folders: &[PathBuf]) {
    for folder in folders.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

fn named(path: &Path) -> impl FnOnce() -> String {
    let path = path.display().to_string();
    move || format!("failed to edit {path}")
}
