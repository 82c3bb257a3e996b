//! Notices that hooks left because nobody answered.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use remora_wire::{Notice, Stage};

use crate::decode::value::rfc3339;
use crate::manager::desk::Desk;
use crate::registry::Peer;

/// How often to look; a hook that found the daemon hung cannot tell when it is back.
const LOOK: Duration = Duration::from_secs(5);
/// Larger than any notice.
const NOTICE_MAX: u64 = 1 << 20;

/// Takes up what is there now, then whatever comes, until the future is dropped.
pub async fn replay(dir: PathBuf, desk: Desk) {
    if let Err(e) = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir) {
        tracing::warn!("failed to create spool {}: {e}", dir.display());
    }
    loop {
        for path in waiting(&dir) {
            take_up(&path, &desk).await;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// In the order in which they were left; only what root wrote.
fn waiting(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    paths.retain(|p| {
        let regular =
            fs::symlink_metadata(p).is_ok_and(|m| m.is_file() && m.uid() == 0 && m.len() < NOTICE_MAX);
        p.extension().is_some_and(|e| e == "json") && regular
    });
    paths.sort();
    paths
}

async fn take_up(path: &Path, desk: &Desk) {
    let notice = fs::read(path).map_err(|e| e.to_string());
    let notice = notice.and_then(|b| serde_json::from_slice::<Notice>(&b).map_err(|e| e.to_string()));
    match notice {
        Ok(notice) => {
            let told = format!("the daemon did not answer the hook at {}", rfc3339(notice.at));
            let late = (notice.stage != Stage::Poststop).then_some(told);
            desk.notice(notice, Peer { uid: 0 }, late).await;
        }
        Err(e) => tracing::warn!("failed to read spooled notice {}: {e}", path.display()),
    }
    if let Err(e) = fs::remove_file(path) {
        tracing::warn!("failed to remove spooled notice {}: {e}", path.display());
    }
}
