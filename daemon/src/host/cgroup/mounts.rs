//! Finds the cgroup2 mount in a mountinfo (see proc(5)), on unified and on hybrid hosts.

use super::{CgroupError, CgroupRoot};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where distributions put it: unified hosts, then hybrid ones. Any other place comes after.
const USUAL: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

struct Mount {
    root: PathBuf,
    point: PathBuf,
    kind: String,
    /// Of the file system: of version 1, controllers among others.
    options: Vec<String>,
}

/// The cgroup2 mounts of a mountinfo, best first. Whether one is covered by another mount only a look at its
/// place can tell: the lines are in no order that would say so.
pub fn candidates(mountinfo: &str) -> Result<Vec<CgroupRoot>, CgroupError> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(parse).collect();
    // Of several at one place the last lies on top.
    let mut unified: Vec<&Mount> = mounts.iter().rev().filter(|m| m.kind == "cgroup2").collect();
    unified.sort_by_key(|mount| rank(mount));
    match unified.is_empty() {
        false => Ok(unified.into_iter().map(root).collect()),
        true if mounts.iter().any(|m| m.kind == "cgroup") => Err(CgroupError::OnlyV1),
        true => Err(CgroupError::NotMounted),
    }
}

/// Options and mount points of whole hierarchies of version 1.
pub fn version_1(mountinfo: &str) -> Vec<(Vec<String>, PathBuf)> {
    let whole = |m: &Mount| m.kind == "cgroup" && m.root == Path::new("/");
    mountinfo.lines().filter_map(parse).filter(whole).map(|m| (m.options, m.point)).collect()
}

fn root(mount: &Mount) -> CgroupRoot {
    CgroupRoot { path: mount.point.clone(), top: mount.root.to_string_lossy().into_owned(), own: None }
}

/// A mount of the whole hierarchy sees every container; of those, the usual places come first.
fn rank(mount: &Mount) -> (bool, usize) {
    let place = USUAL.iter().position(|usual| mount.point == Path::new(usual));
    (mount.root != Path::new("/"), place.unwrap_or(USUAL.len()))
}

/// `36 35 98:0 ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPER-OPTIONS`
fn parse(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    let mut rest = filesystem.split(' ');
    let kind = rest.next()?.to_owned();
    let options = rest.next_back().unwrap_or_default().split(',').map(str::to_owned).collect();
    Some(Mount { root, point, kind, options })
}

/// Blanks, newlines and backslashes are written as `\` and three octal digits.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(octal);
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes).into()
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN_12: &str = "\
23 29 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
29 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
32 23 0:29 / /sys/fs/bpf rw,nosuid,nodev,noexec,relatime shared:11 - bpf bpf rw,mode=700
";
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,size=4096k,nr_inodes=1024,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
37 31 0:34 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,memory
";
    const V1_ONLY: &str = "\
25 19 0:21 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:5 - tmpfs tmpfs ro,mode=755
26 25 0:22 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:6 - cgroup cgroup rw,xattr,name=systemd
28 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct
";

    fn path(mountinfo: &str) -> PathBuf {
        candidates(mountinfo).unwrap().swap_remove(0).path
    }

    #[test]
    fn unified_and_hybrid_hosts_are_found() {
        assert_eq!(path(DEBIAN_12), Path::new("/sys/fs/cgroup"));
        assert_eq!(path(HYBRID), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn v1_alone_is_refused_with_advice() {
        let error = candidates(V1_ONLY).unwrap_err();
        assert!(matches!(error, CgroupError::OnlyV1));
        assert!(error.to_string().contains("systemd.unified_cgroup_hierarchy=1"), "{error}");
        assert!(matches!(
            candidates("29 1 254:1 / / rw - ext4 /dev/vda1 rw\n"),
            Err(CgroupError::NotMounted)
        ));
    }

    #[test]
    fn a_usual_place_is_preferred_to_any_other() {
        let elsewhere = "90 29 0:27 / /mnt/cg\\0402\\134 rw - cgroup2 none rw\n";
        assert_eq!(path(elsewhere), Path::new("/mnt/cg 2\\"));
        assert_eq!(path(&format!("{elsewhere}{DEBIAN_12}")), Path::new("/sys/fs/cgroup"));
        assert_eq!(path(&format!("{HYBRID}{elsewhere}")), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_part_of_the_hierarchy_is_the_last_choice() {
        let part = "90 29 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(candidates(part).unwrap()[0].top, "/docker/abc");
        let whole = "91 29 0:27 / /host/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(path(&format!("{part}{whole}")), Path::new("/host/cgroup"));
    }

    #[test]
    fn of_two_at_one_place_the_later_is_taken() {
        let stacked = format!("{DEBIAN_12}99 30 0:27 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let tops: Vec<String> = candidates(&stacked).unwrap().into_iter().map(|root| root.top).collect();
        assert_eq!(tops, ["/", "/a"], "the whole goes before the part");
        let twice = stacked.replace(" / /sys/fs/cgroup ", " /b /sys/fs/cgroup ");
        assert_eq!(candidates(&twice).unwrap()[0].top, "/a");
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        assert_eq!(path(&format!("\nx\n1 2 3 - \n - \n{HYBRID}")), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(unescape("a\\04"), Path::new("a\\04"));
        assert_eq!(unescape("a\\999b"), Path::new("a\\999b"));
    }
}
