//! What is known of a container, kept on disk while it lives and for a while after.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use remora_wire::{Namespaces, time::unix_ns};
use serde::{Deserialize, Serialize};

use super::known::Choice;
use crate::decode::value::rfc3339;
use crate::host::cgroup;
use crate::metrics::files::Folders;
use crate::oci::Identity;
use crate::tracer::params::Values;
use crate::tracer::users::Place;

/// Events of one tracer for one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// By the kernel, lost ones included.
    pub counted: u64,
    /// Read from the ring by the daemon.
    pub delivered: u64,
    /// The ring was full.
    pub lost_full: u64,
    /// The container had used its share of the ring.
    pub lost_share: u64,
    /// A map or buffer of the tracer was full.
    pub lost_other: u64,
    /// More than the tracer's budget of events.
    pub lost_budget: u64,
}

impl Counts {
    pub fn lost(&self) -> u64 {
        self.lost_full + self.lost_share + self.lost_other + self.lost_budget
    }

    pub fn add(&mut self, more: &Self) {
        self.counted += more.counted;
        self.delivered += more.delivered;
        self.lost_full += more.lost_full;
        self.lost_share += more.lost_share;
        self.lost_other += more.lost_other;
        self.lost_budget += more.lost_budget;
    }

    /// What came since `base`.
    pub fn since(&self, base: &Self) -> Self {
        Self {
            counted: self.counted.saturating_sub(base.counted),
            delivered: self.delivered.saturating_sub(base.delivered),
            lost_full: self.lost_full.saturating_sub(base.lost_full),
            lost_share: self.lost_share.saturating_sub(base.lost_share),
            lost_other: self.lost_other.saturating_sub(base.lost_other),
            lost_budget: self.lost_budget.saturating_sub(base.lost_budget),
        }
    }
}

/// How complete the account of a container is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// RFC 3339.
    pub observed_from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_to: Option<String>,
    /// Why the first exec may not have been seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    /// What else is missing, and what a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How its end was learnt: `cgroup removed`, `init exited`, `poststop`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub end: Vec<String>,
    pub tracers: BTreeMap<String, Counts>,
    /// What was switched while it ran; of many, the latest.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub changes: VecDeque<Change>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// RFC 3339.
    pub at: String,
    pub tracer: String,
    pub change: String,
}

/// Changes that a ledger remembers.
const CHANGES: usize = 64;

impl Ledger {
    pub fn changed(&mut self, tracer: &str, change: &str) {
        if self.changes.len() == CHANGES {
            self.changes.pop_front();
        }
        let at = rfc3339(unix_ns());
        self.changes.push_back(Change { at, tracer: tracer.to_owned(), change: change.to_owned() });
    }

    /// Adds a note once.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        // A container that makes trouble for ever must not make the ledger grow for ever.
        if !self.notes.contains(&text) && self.notes.len() < 32 {
            self.notes.push(text);
        }
    }

    pub fn ended_by(&mut self, why: &str) {
        if !self.end.iter().any(|e| e == why) {
            self.end.push(why.to_owned());
        }
    }
}

/// A generation of a container: an id may be used again, a cgroup id is not within a boot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    pub id: String,
    pub cgroup: u64,
    pub start_time: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub key: Key,
    pub boot: String,
    pub index: u32,
    /// Init; 0 for a cgroup that has none.
    pub pid: u32,
    /// By somebody's wish, not by an opt-in of its own.
    #[serde(default)]
    pub attached: bool,
    pub cgroup_path: String,
    pub identity: Identity,
    pub namespaces: Namespaces,
    /// Its cgroups of version 1, by controller.
    #[serde(default)]
    pub controllers: BTreeMap<String, PathBuf>,
    /// The words of its opt-in.
    #[serde(default)]
    pub asked: Vec<String>,
    /// Who wanted it traced, if it did not ask itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// Cgroups that it was followed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escapes: Vec<String>,
    /// Switched on or off by somebody else, which goes over what it asked for.
    #[serde(default)]
    pub switched: BTreeMap<String, bool>,
    /// Parameters of its own, by tracer.
    #[serde(default)]
    pub params: BTreeMap<String, Values>,
    /// All that it has had.
    pub tracers: Vec<String>,
    pub ledger: Ledger,
    /// What the counters of its place stood at when it got each.
    pub base: BTreeMap<String, Counts>,
}

/// What API and command line show.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct View {
    pub id: String,
    pub name: String,
    /// `running`, `ending` or `ended`; `pending`: a unit that is attached and does not run.
    pub state: String,
    pub pid: u32,
    pub cgroup_id: u64,
    pub cgroup_path: String,
    pub identity: Identity,
    pub namespaces: Namespaces,
    pub tracers: Vec<String>,
    pub ledger: Ledger,
}

impl Record {
    pub fn place(&self) -> Place {
        Place { index: self.index, root: self.key.cgroup, cgroup: self.cgroup_path.clone().into() }
    }

    /// Whether its cgroup has been removed.
    pub fn is_gone(&self) -> bool {
        !cgroup::exists(Path::new(&self.cgroup_path), self.key.cgroup)
    }

    /// Where the files of its cgroups are.
    pub fn folders(&self) -> Folders {
        Folders { unified: self.cgroup_path.clone().into(), controllers: self.controllers.clone() }
    }

    /// Its own parameters of a tracer.
    pub fn params_of(&self, tracer: &str) -> Values {
        self.params.get(tracer).cloned().unwrap_or_default()
    }

    pub fn view(&self, state: &str) -> View {
        View {
            id: self.key.id.clone(),
            name: self.identity.name.clone(),
            state: state.to_owned(),
            pid: self.pid,
            cgroup_id: self.key.cgroup,
            cgroup_path: self.cgroup_path.clone(),
            identity: self.identity.clone(),
            namespaces: self.namespaces,
            tracers: self.tracers.clone(),
            ledger: self.ledger.clone(),
        }
    }
}

/// Whether a container is meant by its id, its name, or the beginning of an id as managers make them.
pub fn is_meant(wanted: &str, id: &str, name: &str) -> bool {
    let hex = wanted.len() >= 4 && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    wanted == id || wanted == name || hex && id.len() == 64 && id.starts_with(wanted)
}
