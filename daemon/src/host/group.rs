//! Groups by name.

use std::fs;
use std::io;

/// The group's number, if there is such a group.
///
/// Read from `/etc/group` and not asked of libc, which would load the name services of a glibc that a static
/// binary does not bring along.
pub fn id(name: &str) -> io::Result<Option<u32>> {
    Ok(find(&fs::read_to_string("/etc/group")?, name))
}

fn find(groups: &str, name: &str) -> Option<u32> {
    let mut entries = groups.lines().map(|line| line.split(':'));
    entries
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nremora-old:x:7:a\n# a comment\nremora:x:996:alice,bob\nbroken\nodd:x:y:\n";
        assert_eq!((find(groups, "remora"), find(groups, "root")), (Some(996), Some(0)));
        for absent in ["remor", "x", "broken", "odd", ""] {
            assert_eq!(find(groups, absent), None, "{absent:?}");
        }
    }

    #[test]
    fn root_has_its_group_here() {
        assert_eq!(id("root").unwrap(), Some(0));
    }
}
