//! What `/proc` tells about the container's init and about the runtime that called us.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::parent_id;
use std::path::Path;

/// When the process started, in clock ticks since boot; with the pid it names a process for good.
pub fn start_time(pid: u32) -> Option<u64> {
    // Made to hold all 52 fields, so that it is one read.
    let mut stat = [0; 1024];
    let n = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut stat).ok()?;
    parse_start_time(stat.get(..n)?)
}

/// Field 22. The second, the command's name, may hold spaces and parentheses, so counting begins after the
/// last closing one, at field 3.
fn parse_start_time(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&b| b == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// File name of the program that called us, or its command name where it runs from memory or is hidden.
pub fn runtime() -> String {
    let parent = parent_id();
    let exe = fs::read_link(format!("/proc/{parent}/exe")).ok();
    exe.as_deref().and_then(program_name).unwrap_or_else(|| {
        let comm = fs::read(format!("/proc/{parent}/comm")).unwrap_or_default();
        String::from_utf8_lossy(comm.trim_ascii_end()).into_owned()
    })
}

fn program_name(exe: &Path) -> Option<String> {
    let path = exe.to_string_lossy();
    if path.starts_with("/memfd:") || path.starts_with("/proc/") {
        return None;
    }
    let name = Path::new(path.trim_end_matches(" (deleted)")).file_name()?;
    Some(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_wire::Namespaces;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21";
        for name in ["sh", "a b", "x) S 1 (y", ")))", "", "\n"] {
            assert_eq!(
                parse_start_time(format!("42 ({name}) {fields}").as_bytes()),
                Some(987_654),
                "{name:?}"
            );
        }
        for stat in ["", "42 (sh", "42 (sh)", "42 (sh) S 1 2"] {
            assert_eq!(parse_start_time(stat.as_bytes()), None, "{stat:?}");
        }
    }

    #[test]
    fn our_own_process_can_be_read_and_an_impossible_one_gives_nothing() {
        let own = std::process::id();
        assert!(start_time(own).is_some_and(|ticks| ticks > 0));
        assert_eq!(Namespaces::of(own).pid, fs::metadata("/proc/self/ns/pid").unwrap().ino());
        assert_eq!((start_time(u32::MAX), Namespaces::of(u32::MAX)), (None, Namespaces::default()));
    }

    #[test]
    fn a_runtime_has_its_files_name_unless_it_runs_from_memory() {
        let name = |path: &str| program_name(Path::new(path));
        assert_eq!(name("/usr/sbin/runc").as_deref(), Some("runc"));
        assert_eq!(name("/usr/bin/crun (deleted)").as_deref(), Some("crun"));
        assert_eq!(name("/memfd:runc_cloned:/proc/self/exe (deleted)"), None);
        assert!(!runtime().is_empty());
    }
}
