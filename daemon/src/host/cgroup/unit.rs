//! Where the units of systemd have their cgroups. Asked of the hierarchy itself, not of systemd: its answer would have
//! to be waited for, and it has none while a unit does not run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Cgroup, CgroupError, CgroupRoot};

/// Longest name of a unit, in bytes.
const MAX_NAME: usize = 255;
/// Kinds of units that have cgroups.
const KINDS: [&str; 6] = ["service", "scope", "slice", "socket", "mount", "swap"];
/// Most slices that one look descends into.
const MAX_SLICES: usize = 256;

/// A unit's whole name: as systemctl has it, one without a kind is a service's.
pub fn unit_name(name: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || br":-_.\@".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(format!("{name:?} cannot be a unit: its name is of A-Z, a-z, 0-9 and :-_.\\@"));
    }
    let whole = match name.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => name.to_owned(),
        _ => format!("{name}.service"),
    };
    if whole.len() > MAX_NAME {
        return Err(format!("the name of a unit has at most {MAX_NAME} bytes"));
    }
    if whole.contains("@.") {
        return Err(format!("{whole} is a template: name an instance of it"));
    }
    Ok(whole)
}

/// What a unit's cgroup may be called: systemd puts `_` in front of what begins with it, and of what the kernel could take
/// for a file of its own, such as `memory.service`.
fn folders(unit: &str) -> Vec<String> {
    let escaped = format!("_{unit}");
    if unit.starts_with(['_', '.']) { vec![escaped] } else { vec![unit.to_owned(), escaped] }
}

impl CgroupRoot {
    /// The cgroup of a unit of the system, if it runs. Those units are in slices and in nothing else, so that what
    /// a container or a user's own systemd calls by the same name is never found.
    pub fn of_unit(&self, unit: &str) -> Option<Cgroup> {
        let names = folders(unit);
        let slices = self.slices();
        let mut places = slices.iter().flat_map(|slice| names.iter().map(|name| slice.join(name)));
        places.find_map(|path| {
            let relative = format!("/{}", path.strip_prefix(&self.path).ok()?.display());
            self.at(&relative).ok().filter(|_| path.is_dir())
        })
    }

    /// The folders in which cgroups of units may appear, the hierarchy's top first.
    pub fn slices(&self) -> Vec<PathBuf> {
        let mut all = vec![self.path.clone()];
        let mut at = 0;
        while let Some(dir) = all.get(at).cloned() {
            let room = MAX_SLICES.saturating_sub(all.len());
            all.extend(slices_in(&dir).take(room));
            at += 1;
        }
        all
    }

    /// The cgroup that a person names by its folder, or by its path as `/proc/PID/cgroup` has it.
    pub fn named(&self, path: &str) -> Result<Cgroup, CgroupError> {
        let given = Path::new(path);
        let below = given.strip_prefix(&self.path).unwrap_or(given);
        let mut relative = String::new();
        for part in below.components() {
            use std::path::Component::*;
            match part {
                Normal(name) => relative = format!("{relative}/{}", name.to_string_lossy()),
                RootDir | CurDir => {}
                ParentDir | Prefix(_) => return Err(CgroupError::NoGroup(path.into())),
            }
        }
        let cgroup = self.at(if relative.is_empty() { "/" } else { &relative })?;
        if cgroup.path.is_dir() { Ok(cgroup) } else { Err(CgroupError::NoGroup(path.into())) }
    }
}

fn slices_in(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_slice = |e: &fs::DirEntry| {
        e.file_name().to_string_lossy().ends_with(".slice") && e.file_type().is_ok_and(|t| t.is_dir())
    };
    entries.filter(is_slice).map(|e| e.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn root(dir: &Path) -> CgroupRoot {
        CgroupRoot { path: dir.into(), top: "/".into(), own: None }
    }

    #[test]
    fn a_name_without_a_kind_is_a_services() {
        let name = |name| unit_name(name).unwrap();
        assert_eq!(name("nginx"), "nginx.service");
        assert_eq!(name("org.example.thing"), "org.example.thing.service");
        assert_eq!(name("a@b.service"), "a@b.service");
        assert_eq!(name("machine.slice"), "machine.slice");
        for bad in ["", "a/b", "a b", "../x", "a\n", "x@.service", &"x".repeat(250)] {
            assert!(unit_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_unit_is_looked_for_in_slices_alone() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "system.slice/system-a.slice/a@1.service",
            "user.slice/user-1.slice/user@1.service/app.slice/b.service",
            "system.slice/docker-1.scope/system.slice/c.service",
            "system.slice/_memory.service",
        ] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let root = root(dir.path());
        let found = root.of_unit("a@1.service").unwrap();
        assert_eq!(found.relative, "/system.slice/system-a.slice/a@1.service");
        assert_eq!(found.id, fs::metadata(&found.path).unwrap().ino());
        assert_eq!(root.of_unit("system-a.slice").unwrap().relative, "/system.slice/system-a.slice");
        assert_eq!(root.of_unit("memory.service").unwrap().relative, "/system.slice/_memory.service");
        assert_eq!(root.of_unit("b.service"), None, "that of a user's own systemd");
        assert_eq!(root.of_unit("c.service"), None, "that of a container");
        assert_eq!(root.of_unit("_memory.service"), None);
        assert_eq!(root.slices().len(), 5);
    }

    #[test]
    fn a_person_names_a_cgroup_by_its_folder_or_below_the_mount() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/cgroup.procs"), "").unwrap();
        let root = root(dir.path());
        let of = |path: &str| root.named(path).map(|c| c.relative);
        assert_eq!(of("/a/b").unwrap(), "/a/b");
        assert_eq!(of("a//b/").unwrap(), "/a/b");
        assert_eq!(of(&dir.path().join("a").display().to_string()).unwrap(), "/a");
        assert_eq!(of("/").unwrap(), "/");
        for bad in ["/a/../b", "/none", "/a/cgroup.procs"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
