//! Cgroups of the v2 hierarchy, as this host mounts it: which one a process is in, which are below it, and
//! which may be put in scope.

pub mod controllers;
mod mounts;
mod unit;
mod walk;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub use unit::unit_name;
pub use walk::{MAX_SUBTREE, exists, is_untouched, populated, subtree};

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("failed to read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "failed to find a cgroup2 mount: this host has cgroup v1 only, whose groups BPF programs cannot tell \
         apart; boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line (or, for a hybrid host, \
         systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0)"
    )]
    OnlyV1,
    #[error("failed to find a cgroup2 mount; mount one (mount -t cgroup2 cgroup2 /sys/fs/cgroup)")]
    NotMounted,
    #[error("failed to find the v2 cgroup of process {0}: /proc/{0}/cgroup has no line that begins with 0::")]
    NoUnified(u32),
    #[error("failed to find the cgroup {path} of process {pid}: it is removed already")]
    Removed { pid: u32, path: String },
    #[error(
        "failed to find the cgroup {path} of process {pid} below {mount}: it lies outside of the part of the \
         hierarchy that the daemon sees; run the daemon in the host's cgroup namespace"
    )]
    Outside { pid: u32, path: String, mount: PathBuf },
    #[error(
        "failed to admit the cgroup {path}: it is {what}, so that more than the container would be traced; \
         give the container a cgroup of its own"
    )]
    Refused { path: String, what: &'static str },
    #[error("failed to find the cgroup {0:?}: it must be a folder below the cgroup2 mount, named without ..")]
    NoGroup(String),
}

/// One cgroup at the moment it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Where its directory is.
    pub path: PathBuf,
    /// The same below the mount; begins with `/`.
    pub relative: String,
    /// Inode of the directory: what BPF calls the cgroup's id. Not reused within a boot.
    pub id: u64,
}

/// The mount through which this process sees the v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupRoot {
    path: PathBuf,
    /// The cgroup that the mount shows as its top, as `/proc/PID/cgroup` would name it: `/`, unless a part of
    /// the hierarchy was bind-mounted.
    top: String,
    /// This process's own cgroup below the mount, if it is there at all.
    own: Option<String>,
}

impl CgroupRoot {
    pub fn discover() -> Result<Self, CgroupError> {
        let candidates = mounts::candidates(&read(Path::new("/proc/self/mountinfo"))?)?;
        let visible = candidates.into_iter().find(|root| is_cgroup2(&root.path));
        let mut root = visible.ok_or(CgroupError::NotMounted)?;
        let own = read(Path::new("/proc/self/cgroup"))?;
        root.own = unified_line(&own).and_then(|path| root.below(path)).map(str::to_owned);
        Ok(root)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cgroup a process is in now.
    pub fn of_pid(&self, pid: u32) -> Result<Cgroup, CgroupError> {
        let text = read(Path::new(&format!("/proc/{pid}/cgroup")))?;
        let path = unified_line(&text).ok_or(CgroupError::NoUnified(pid))?;
        if let Some(path) = path.strip_suffix(" (deleted)") {
            return Err(CgroupError::Removed { pid, path: path.into() });
        }
        let outside = || CgroupError::Outside { pid, path: path.into(), mount: self.path.clone() };
        self.at(self.below(path).ok_or_else(outside)?)
    }

    /// The cgroup at a path below the mount.
    pub fn at(&self, relative: &str) -> Result<Cgroup, CgroupError> {
        let path = self.path.join(relative.trim_start_matches('/'));
        let meta = fs::metadata(&path).map_err(|source| CgroupError::Read { path: path.clone(), source })?;
        Ok(Cgroup { path, relative: relative.into(), id: meta.ino() })
    }

    /// Refuses what would put more than a container in scope.
    pub fn admit(&self, cgroup: &Cgroup) -> Result<(), CgroupError> {
        let refuse = |what| Err(CgroupError::Refused { path: cgroup.relative.clone(), what });
        match self.own.as_deref() {
            _ if cgroup.relative == "/" => refuse("the root of the hierarchy"),
            Some(own) if own == cgroup.relative => refuse("the daemon's own"),
            Some(own) if strip_ancestor(own, &cgroup.relative).is_some() => {
                refuse("one that the daemon is in")
            }
            _ => Ok(()),
        }
    }

    /// What `/proc/PID/cgroup` calls `path`, as a path below the mount; nothing where the mount does not show it.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        // A cgroup outside of the reader's cgroup namespace is shown relative to that namespace's root.
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return None;
        }
        match path.strip_prefix(self.top.trim_end_matches('/'))? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

/// What is left of `path` below `ancestor`.
fn strip_ancestor<'a>(path: &'a str, ancestor: &str) -> Option<&'a str> {
    path.strip_prefix(ancestor).filter(|rest| rest.starts_with('/'))
}

/// The v2 line of a `/proc/PID/cgroup`.
fn unified_line(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

fn is_cgroup2(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

fn read(path: &Path) -> Result<String, CgroupError> {
    let bytes = fs::read(path).map_err(|source| CgroupError::Read { path: path.into(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
