//! Where a process's cgroups of version 1 are, on hybrid hosts: controllers that are not in the v2 hierarchy.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{mounts, read};
use crate::host::proc;

/// Among a hierarchy's mount options; the others are not controllers.
const KNOWN: [&str; 9] =
    ["cpu", "cpuacct", "cpuset", "blkio", "memory", "devices", "pids", "freezer", "hugetlb"];

/// Folders by controller, as far as they are a container's own; none on unified hosts. Where its parent is in the same one,
/// its numbers are everybody's.
pub fn of_init(pid: u32) -> BTreeMap<String, PathBuf> {
    let text = |path: String| read(Path::new(&path)).unwrap_or_default();
    let mounts = mounts::version_1(&text("/proc/self/mountinfo".into()));
    let of = |pid: u32| folders(&mounts, &text(format!("/proc/{pid}/cgroup")));
    let shared = proc::ppid(pid).map(of).unwrap_or_default();
    let mut own = of(pid);
    own.retain(|controller, folder| shared.get(controller) != Some(folder));
    own
}

/// Folders by controller that a cgroup has under the same path in hierarchies of version 1, as systemd gives them to units.
pub fn at(relative: &str) -> BTreeMap<String, PathBuf> {
    let mounts = mounts::version_1(&read(Path::new("/proc/self/mountinfo")).unwrap_or_default());
    let mut all = BTreeMap::new();
    for (options, point) in mounts {
        let folder = point.join(relative.trim_start_matches('/'));
        for controller in options.iter().filter(|o| KNOWN.contains(&o.as_str()) && folder.is_dir()) {
            all.insert(controller.clone(), folder.clone());
        }
    }
    all
}

/// `mounts`: options and mount points of hierarchies; `membership`: `/proc/PID/cgroup`.
fn folders(mounts: &[(Vec<String>, PathBuf)], membership: &str) -> BTreeMap<String, PathBuf> {
    let mut all = BTreeMap::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        if path.split('/').any(|part| part == "..") {
            continue;
        }
        for controller in controllers.split(',').filter(|c| !c.is_empty() && !c.starts_with("name=")) {
            let mount = mounts.iter().find(|(options, _)| options.iter().any(|o| o == controller));
            if let Some((_, point)) = mount {
                all.insert(controller.to_owned(), point.join(path.trim_start_matches('/')));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_has_its_folder() {
        let mountinfo = "\
32 31 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
37 31 0:34 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";
        let membership = "4:memory:/a/b\n3:cpu,cpuacct:/a\n2:pids:/a\n1:name=systemd:/x\n0::/a\n";
        let found = folders(&mounts::version_1(mountinfo), membership);
        let expected = [
            ("cpu", "/sys/fs/cgroup/cpu,cpuacct/a"),
            ("cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a"),
            ("memory", "/sys/fs/cgroup/memory/a/b"),
        ];
        assert_eq!(found, expected.map(|(c, p)| (c.to_owned(), p.into())).into());
        assert!(folders(&mounts::version_1(mountinfo), "4:memory:/../b\n0::/\n").is_empty());
    }
}
