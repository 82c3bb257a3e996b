//! Units that are followed, on disk for the daemon that comes next.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::wish::Subject;
use super::{LOOK, REST};
use crate::decode::text::printable;
use crate::oci::Identity;
use crate::registry::record::{Ledger, View, is_meant};
use crate::tracer::change::ChangeError;
use crate::tracer::keep::write;
use crate::tracer::params::Values;

/// What it is to be traced for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    pub asked: Vec<String>,
    pub params: BTreeMap<String, Values>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Following {
    pub unit: String,
    pub name: String,
    #[serde(flatten)]
    pub wanted: Wanted,
    /// When to look whether it runs.
    #[serde(skip, default = "Instant::now")]
    pub due: Instant,
    /// Why it is not in scope.
    #[serde(skip)]
    why: String,
}

impl Following {
    pub fn new(unit: String, name: String, wanted: Wanted) -> Self {
        Self { unit, name, wanted, due: Instant::now(), why: "it does not run".into() }
    }

    pub fn subject(&self) -> Subject {
        Subject::of_unit(&self.unit, self.name.clone())
    }

    pub fn view(&self) -> View {
        let subject = self.subject();
        View {
            id: subject.id.clone(),
            name: self.name.clone(),
            state: "pending".into(),
            pid: 0,
            cgroup_id: 0,
            cgroup_path: String::new(),
            identity: Identity {
                id: subject.id,
                name: self.name.clone(),
                runtime: subject.kind.into(),
                ..Identity::default()
            },
            namespaces: Default::default(),
            tracers: self.wanted.asked.clone(),
            ledger: Ledger { notes: vec![self.why.clone()], ..Ledger::default() },
        }
    }
}

#[derive(Debug)]
pub struct List {
    file: PathBuf,
    all: Vec<Following>,
}

impl List {
    pub fn load(state: &Path) -> Self {
        let file = state.join("attached.json");
        let all = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|e| {
                tracing::error!("failed to read {}, so no unit is attached: {e}", file.display());
                Vec::new()
            }),
            Err(_) => Vec::new(),
        };
        Self { file, all }
    }

    pub fn all(&self) -> &[Following] {
        &self.all
    }

    pub fn add(&mut self, following: Following) -> io::Result<()> {
        self.all.push(following);
        let kept = self.keep();
        if kept.is_err() {
            self.all.pop();
        }
        kept
    }

    /// Takes the unit of this id or name from the list.
    pub fn take(&mut self, wanted: &str) -> io::Result<Option<Following>> {
        let Some(at) = self.all.iter().position(|f| is_meant(wanted, &f.unit, &f.name)) else {
            return Ok(None);
        };
        let taken = self.all.remove(at);
        if let Err(e) = self.keep() {
            self.all.insert(at, taken);
            return Err(e);
        }
        Ok(Some(taken))
    }

    pub fn due_now(&mut self) {
        let now = Instant::now();
        self.all.iter_mut().for_each(|f| f.due = f.due.min(now));
    }

    /// What came of a look, and so when the next is due.
    pub fn tried(&mut self, at: usize, outcome: Result<(), ChangeError>, now: Instant) {
        let following = &mut self.all[at];
        let (pause, why) = match outcome {
            Ok(()) => (LOOK, String::new()),
            Err(ChangeError::Unknown(why)) => (LOOK, why),
            Err(e) => (REST, e.to_string()),
        };
        following.due = now + pause;
        if following.why != why {
            if pause == REST {
                tracing::warn!(unit = following.unit, "not in scope: {}", printable(&why));
            }
            following.why = why;
        }
    }

    fn keep(&self) -> io::Result<()> {
        write(&self.file, &serde_json::to_vec(&self.all)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn following(unit: &str) -> Following {
        let wanted = Wanted { asked: vec!["a".into()], params: BTreeMap::new() };
        Following::new(unit.into(), format!("name-{unit}"), wanted)
    }

    #[test]
    fn what_is_followed_is_followed_by_the_next_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let mut list = List::load(dir.path());
        assert!(list.all().is_empty());
        list.add(following("a.service")).unwrap();
        list.add(following("b.service")).unwrap();
        assert_eq!(list.take("name-a.service").unwrap().unwrap().unit, "a.service");
        assert!(list.take("a.service").unwrap().is_none());
        let again = List::load(dir.path());
        assert_eq!((again.all().len(), again.all()[0].unit.as_str()), (1, "b.service"));
        assert_eq!(again.all()[0].wanted.asked, ["a"]);
    }

    #[test]
    fn what_cannot_be_kept_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let mut list = List::load(dir.path());
        list.add(following("a.service")).unwrap();
        fs::remove_dir_all(dir.path()).unwrap();
        assert!(list.add(following("b.service")).is_err() && list.take("a.service").is_err());
        assert_eq!(list.all().len(), 1);
    }

    #[test]
    fn a_refusal_is_told_and_left_alone_for_longer() {
        let dir = tempfile::tempdir().unwrap();
        let mut list = List::load(dir.path());
        list.add(following("a.service")).unwrap();
        let now = Instant::now();
        list.tried(0, Err(ChangeError::Conflict("all places are taken".into())), now);
        assert_eq!(list.all()[0].due, now + REST);
        assert_eq!(list.all()[0].view().ledger.notes, ["all places are taken"]);
        list.due_now();
        assert!(list.all()[0].due <= Instant::now());
    }
}
