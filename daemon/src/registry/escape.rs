//! Containers whose init has left the cgroup that is in scope (runc 5117): rare, and never silent.

use std::{collections::BTreeSet, fs, path::Path, time::Duration, time::Instant};

use super::Registry;
use crate::decode::text::printable;
use crate::host::{
    cgroup::{self, Cgroup},
    proc,
};

/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(10);
/// Cgroups that one container is followed to.
const MOST: usize = 8;
/// Processes that a cgroup may have to be looked through.
const MAX_PROCESSES: usize = 4096;

impl Registry {
    pub(super) fn look_for_escapes(&mut self, now: Instant) {
        if self.live.is_empty() || self.escapes_due > now {
            return;
        }
        self.escapes_due = now + LOOK;
        let mut escaped = Vec::new();
        for (index, container) in self.live.iter().filter(|(_, c)| c.ending.is_none() && !c.winding_down) {
            let record = &container.record;
            let Ok(group) = self.cgroups.of_pid(record.pid) else { continue };
            let is_init = proc::start_time(record.pid).is_ok_and(|t| t == record.key.start_time);
            let mut known = record.escapes.iter().map(Path::new).chain([Path::new(&record.cgroup_path)]);
            if is_init && !known.any(|path| group.path.starts_with(path)) {
                escaped.push((*index, group));
            }
        }
        for (index, group) in escaped {
            let refusal = self.follow(index, &group).err();
            let Some(container) = self.live.get_mut(&index) else { continue };
            let (id, path) = (printable(&container.record.key.id), printable(&group.relative));
            let note = match refusal {
                None => {
                    format!("init left the container's cgroup for {path}, which is traced, too, from then on")
                }
                Some(why) => {
                    format!("init left the container's cgroup for {path}, which is not traced: {why}")
                }
            };
            tracing::warn!(container = id, "{note}");
            container.record.ledger.note(note);
            self.remember(index);
        }
    }

    /// Brings the cgroup into scope if it is as good as the first one was.
    fn follow(&mut self, index: u32, group: &Cgroup) -> Result<(), String> {
        self.cgroups.admit(group).map_err(|e| e.to_string())?;
        let record = &self.live[&index].record;
        if record.escapes.len() >= MOST {
            return Err(format!("it was followed {MOST} times"));
        }
        let related = |path: &str| group.path.starts_with(path) || Path::new(path).starts_with(&group.path);
        for other in self.live.values().map(|c| &c.record) {
            if related(&other.cgroup_path) {
                return Err(format!(
                    "it belongs together with that of container {}",
                    printable(&other.key.id)
                ));
            }
        }
        if !is_alone(&group.path, record.pid) {
            return Err("others are in it".to_owned());
        }
        let path = group.path.display().to_string();
        // Nobody else's are in it: that was looked at above.
        let below = cgroup::subtree(&group.path, &BTreeSet::new());
        let ids = [group.id].into_iter().chain(below);
        for id in ids.collect::<BTreeSet<_>>() {
            self.scope.admit(id, index).map_err(|e| e.to_string())?;
        }
        if let Some(container) = self.live.get_mut(&index) {
            container.record.escapes.push(path);
        }
        Ok(())
    }
}

/// Whether all processes in a cgroup come from this one.
fn is_alone(cgroup: &Path, init: u32) -> bool {
    let Ok(text) = fs::read_to_string(cgroup.join("cgroup.procs")) else { return false };
    let pids: Vec<u32> = text.lines().map_while(|line| line.parse().ok()).take(MAX_PROCESSES + 1).collect();
    pids.len() <= MAX_PROCESSES && pids.iter().all(|pid| descends(*pid, init))
}

fn descends(pid: u32, ancestor: u32) -> bool {
    let mut at = pid;
    for _ in 0..64 {
        if at == ancestor {
            return true;
        }
        match proc::ppid(at) {
            Ok(parent) if parent > 1 => at = parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_is_told_by_parents() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(descends(child.id(), own) && descends(own, own));
        assert!(!descends(own, child.id()) && !descends(1, own));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn who_shares_a_cgroup_with_others_is_not_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_alone(dir.path(), 1));
        let own = std::process::id();
        fs::write(dir.path().join("cgroup.procs"), format!("{own}\n")).unwrap();
        assert!(is_alone(dir.path(), own));
        fs::write(dir.path().join("cgroup.procs"), format!("{own}\n1\n")).unwrap();
        assert!(!is_alone(dir.path(), own));
    }
}
