//! Containers that no hook announced: those started before the daemon, restored ones, those whose hook was not
//! configured. Found in the runtimes' own state; managers list theirs themselves.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use remora_wire::{Namespaces, Notice, Stage};
use serde::Deserialize;

use crate::host::proc;
use crate::manager::desk::Desk;
use crate::oci;

const STATE_MAX: u64 = 4 << 20;

/// Tells the desk of each; those in scope already stay as they are.
pub async fn run(roots: &[String], desk: &Desk, why: &str) {
    for notice in all(roots) {
        desk.found(notice, why).await;
    }
}

/// Containers below all of the runtimes' roots.
pub fn all(roots: &[String]) -> Vec<Notice> {
    roots.iter().flat_map(|root| find(root)).collect()
}

/// Containers below one runtime root.
fn find(root: &str) -> Vec<Notice> {
    let dirs = glob::glob(root).into_iter().flatten().flatten();
    let containers = dirs.flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    containers.filter_map(|entry| read(&entry.path())).collect()
}

fn read(dir: &Path) -> Option<Notice> {
    let runc = dir.join("state.json");
    let (runtime, found) =
        if runc.exists() { ("runc", runc_state(&runc)) } else { ("crun", crun_status(dir)) };
    let found = found?;
    let (annotations, root) = oci::bundle_annotations(&found.bundle).ok()?;
    if found.pid <= 1 {
        return None;
    }
    let start_time = proc::start_time(found.pid).ok()?;
    Some(Notice {
        stage: Stage::CreateRuntime,
        id: dir.file_name()?.to_string_lossy().into_owned(),
        pid: Some(found.pid),
        start_time: Some(start_time),
        bundle: found.bundle.display().to_string(),
        root: root.display().to_string(),
        annotations,
        truncated: false,
        namespaces: Namespaces::of(found.pid),
        runtime: runtime.to_owned(),
        at: 0,
    })
}

struct Found {
    pid: u32,
    bundle: PathBuf,
}

fn bounded(path: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path).ok()?.take(STATE_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

/// runc keeps the bundle as a label of its own configuration.
fn runc_state(path: &Path) -> Option<Found> {
    #[derive(Deserialize)]
    struct State {
        init_process_pid: u32,
        config: Labels,
    }
    #[derive(Deserialize)]
    struct Labels {
        #[serde(default)]
        labels: Vec<String>,
    }
    let state: State = serde_json::from_slice(&bounded(path)?).ok()?;
    let bundle = state.config.labels.iter().find_map(|l| l.strip_prefix("bundle="))?;
    Some(Found { pid: state.init_process_pid, bundle: bundle.into() })
}

fn crun_status(dir: &Path) -> Option<Found> {
    #[derive(Deserialize)]
    struct Status {
        pid: u32,
        bundle: PathBuf,
    }
    let status: Status = serde_json::from_slice(&bounded(&dir.join("status"))?).ok()?;
    Some(Found { pid: status.pid, bundle: status.bundle })
}
