//! Opted-in containers that no hook announced: those started before the daemon, restored ones, those whose
//! hook was not configured. Found in the runtimes' own state.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use remora_wire::{Notice, Stage};
use serde::Deserialize;

use super::{Handle, Peer};
use crate::host::proc;
use crate::oci;

const STATE_MAX: u64 = 4 << 20;

/// Tells the registry of each; those it knows already stay as they are.
pub async fn at_start(roots: &[String], registry: &Handle) {
    for notice in roots.iter().flat_map(|root| find(root)) {
        let late = Some("found running when the daemon started".to_owned());
        registry.notice(notice, Peer { uid: 0 }, late).await;
    }
}

/// Opted-in containers below one runtime root.
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
    if found.pid <= 1 || !annotations.keys().any(|k| remora_wire::is_opt_in(k)) {
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
        namespaces: namespaces(found.pid),
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

pub fn namespaces(pid: u32) -> remora_wire::Namespaces {
    use std::os::unix::fs::MetadataExt;
    let inode = |name| fs::metadata(format!("/proc/{pid}/ns/{name}")).map_or(0, |m| m.ino());
    remora_wire::Namespaces {
        mnt: inode("mnt"),
        pid: inode("pid"),
        net: inode("net"),
        user: inode("user"),
        ipc: inode("ipc"),
        uts: inode("uts"),
        cgroup: inode("cgroup"),
    }
}
