//! What the hook tells the daemon, and what the daemon answers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    CreateRuntime,
    Prestart,
    Poststop,
}

/// Namespace inode numbers of the container's init, 0 where one could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    pub mnt: u64,
    pub pid: u64,
    pub net: u64,
    pub user: u64,
    pub ipc: u64,
    pub uts: u64,
    pub cgroup: u64,
}

impl Namespaces {
    /// Those of a process.
    pub fn of(pid: u32) -> Self {
        let inode = |kind| fs::metadata(format!("/proc/{pid}/ns/{kind}")).map_or(0, |meta| meta.ino());
        Self {
            mnt: inode("mnt"),
            pid: inode("pid"),
            net: inode("net"),
            user: inode("user"),
            ipc: inode("ipc"),
            uts: inode("uts"),
            cgroup: inode("cgroup"),
        }
    }
}

/// One stage of one container's life, as the runtime told the hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub stage: Stage,
    pub id: String,
    /// Init's pid as the host sees it; absent at poststop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<u64>,
    #[serde(default)]
    pub bundle: String,
    /// Absolute path of the root file system as the host sees it.
    #[serde(default)]
    pub root: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Annotations other than ours were left out because the frame would have been too large.
    #[serde(default)]
    pub truncated: bool,
    #[serde(default)]
    pub namespaces: Namespaces,
    /// File name of the runtime that called the hook (`runc`, `crun`), empty if unknown.
    #[serde(default)]
    pub runtime: String,
    /// When the hook ran: nanoseconds since the Unix epoch.
    #[serde(default)]
    pub at: u64,
}

/// The daemon's answer. `ok` means that the container is in scope (or, at poststop, that its end is known).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub ok: bool,
    /// Why not, or what a person should know although it went well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
