//! Looks at cgroup directories, which may vanish at any moment.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Most ids that one walk returns.
pub const MAX_SUBTREE: usize = 16_384;
/// Levels below the root that a walk descends; a container is free to nest deeper.
const MAX_DEPTH: usize = 64;

/// Whether any process lives in the cgroup or below it.
pub fn populated(path: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(path.join("cgroup.events"))?;
    let value = text.lines().find_map(|line| line.strip_prefix("populated "));
    value
        .map(|v| v != "0")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "has no line `populated`"))
}

/// Whether the cgroup that once had this path and id is still there: a new one at the same path has another id.
pub fn exists(path: &Path, id: u64) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.ino() == id)
}

/// Whether nothing runs in the cgroup or below it, and nothing ever has: what ran took time.
pub fn is_untouched(path: &Path) -> bool {
    let stat = fs::read_to_string(path.join("cpu.stat")).unwrap_or_default();
    let used = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
    populated(path).is_ok_and(|p| !p) && used == Some("0")
}

/// Ids of a cgroup and of all below it, each before its children, without those that are `others` and what is below them.
/// Empty if the cgroup is gone; bounded by `MAX_SUBTREE`, so that a container which makes cgroups without end does not
/// hold up the walk.
pub fn subtree(path: &Path, others: &BTreeSet<u64>) -> Vec<u64> {
    let Ok(root) = fs::metadata(path) else { return Vec::new() };
    let mut ids = vec![root.ino()];
    let mut pending = VecDeque::from([(path.to_path_buf(), 0)]);
    while let Some((directory, depth)) = pending.pop_front() {
        for (child, id) in children(&directory).filter(|(_, id)| !others.contains(id)) {
            if ids.len() == MAX_SUBTREE {
                return ids;
            }
            ids.push(id);
            if depth < MAX_DEPTH {
                pending.push_back((child, depth + 1));
            }
        }
    }
    ids
}

/// The cgroups right below one. A directory's entry bears its inode, which saves a stat for each.
fn children(directory: &Path) -> impl Iterator<Item = (PathBuf, u64)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_cgroup = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.filter(is_cgroup).map(|entry| (entry.path(), entry.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn the_root_comes_first_and_parents_before_children() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, leaf] = ["a", "b", "a/leaf"].map(|name| dir.path().join(name));
        [&a, &b, &leaf].into_iter().for_each(|path| fs::create_dir(path).unwrap());
        fs::write(dir.path().join("cgroup.events"), "populated 0\nfrozen 0\n").unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let ids = subtree(dir.path(), &BTreeSet::new());
        assert_eq!(ids[0], id(dir.path()));
        assert_eq!(BTreeSet::from_iter(&ids[1..3]), BTreeSet::from([&id(&a), &id(&b)]));
        assert_eq!(ids[3..], [id(&leaf)]);
        let without = subtree(dir.path(), &BTreeSet::from([id(&a)]));
        assert_eq!(without, [id(dir.path()), id(&b)]);
    }

    #[test]
    fn a_vanished_cgroup_has_no_subtree() {
        assert!(subtree(Path::new("/nonexistent/cgroup"), &BTreeSet::new()).is_empty());
    }

    #[test]
    fn depth_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("d/".repeat(MAX_DEPTH + 10))).unwrap();
        assert_eq!(subtree(dir.path(), &BTreeSet::new()).len(), MAX_DEPTH + 2);
    }

    #[test]
    fn populated_is_read_from_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text| fs::write(dir.path().join("cgroup.events"), text).unwrap();
        write("populated 1\nfrozen 0\n");
        assert!(populated(dir.path()).unwrap());
        write("frozen 1\npopulated 0\n");
        assert!(!populated(dir.path()).unwrap());
        write("frozen 1\n");
        assert!(populated(dir.path()).is_err());
        assert_eq!(populated(Path::new("/nonexistent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_nothing_ran_in_is_told_by_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name, text| fs::write(dir.path().join(name), text).unwrap();
        write("cgroup.events", "populated 0\nfrozen 0\n");
        assert!(!is_untouched(dir.path()), "nothing is known");
        write("cpu.stat", "usage_usec 0\nuser_usec 0\n");
        assert!(is_untouched(dir.path()));
        write("cgroup.events", "populated 1\n");
        assert!(!is_untouched(dir.path()));
        write("cgroup.events", "populated 0\n");
        write("cpu.stat", "usage_usec 17\nuser_usec 0\n");
        assert!(!is_untouched(dir.path()));
    }

    #[test]
    fn an_id_tells_a_directory_from_its_successor() {
        let dir = tempfile::tempdir().unwrap();
        assert!(exists(dir.path(), id(dir.path())));
        assert!(!exists(dir.path(), id(dir.path()) + 1));
        assert!(!exists(Path::new("/nonexistent"), 1));
    }
}
