use super::*;

fn root(top: &str, own: Option<&str>) -> CgroupRoot {
    CgroupRoot { path: "/sys/fs/cgroup".into(), top: top.into(), own: own.map(Into::into) }
}

fn cgroup(relative: &str) -> Cgroup {
    Cgroup { path: format!("/sys/fs/cgroup{relative}").into(), relative: relative.into(), id: 7 }
}

#[test]
fn the_v2_line_is_found_among_those_of_v1() {
    let hybrid = "9:name=systemd:/user\n8:pids:/0::/trap\n1:cpu:/\n0::/libpod_parent/x\n";
    assert_eq!(unified_line(hybrid), Some("/libpod_parent/x"));
    assert_eq!(unified_line("0::/system.slice/a:b.service\n"), Some("/system.slice/a:b.service"));
    assert_eq!(unified_line("4:memory:/docker/x\n"), None);
}

#[test]
fn paths_are_taken_below_what_is_mounted() {
    let whole = root("/", None);
    assert_eq!(whole.below("/"), Some("/"));
    assert_eq!(whole.below("/docker/abc"), Some("/docker/abc"));
    let part = root("/docker/abc", None);
    assert_eq!(part.below("/docker/abc"), Some("/"));
    assert_eq!(part.below("/docker/abc/child"), Some("/child"));
    assert_eq!(part.below("/docker/abcd"), None);
    assert_eq!(part.below("/system.slice"), None);
}

#[test]
fn what_lies_outside_of_the_cgroup_namespace_is_not_guessed() {
    for path in ["/..", "/../..", "/../../system.slice/x", "relative", ""] {
        assert_eq!(root("/", None).below(path), None, "{path}");
    }
    // Two dots within a name are a name.
    assert_eq!(root("/", None).below("/a..b/..c"), Some("/a..b/..c"));
    // A mount made outside of the namespace names its root by a path that leads out.
    assert_eq!(root("/../..", None).below("/x"), None);
}

#[test]
fn a_container_beside_or_below_the_daemon_is_admitted() {
    let root = root("/", Some("/system.slice/remora.service"));
    for path in ["/machine.slice/c", "/system.slice/remora.service/run-1", "/system.slice/remora", "/sys"] {
        root.admit(&cgroup(path)).unwrap();
    }
}

#[test]
fn what_holds_more_than_a_container_is_refused() {
    let nested = root("/", Some("/system.slice/remora.service"));
    for (path, what) in [
        ("/", "root of the hierarchy"),
        ("/system.slice", "one that the daemon is in"),
        ("/system.slice/remora.service", "the daemon's own"),
    ] {
        let error = nested.admit(&cgroup(path)).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(&format!("cgroup {path}:")), "{error}");
    }
    let at_top = root("/", Some("/"));
    assert!(at_top.admit(&cgroup("/")).is_err());
    at_top.admit(&cgroup("/container")).unwrap();
    assert!(root("/docker/abc", None).admit(&cgroup("/")).is_err());
}

#[test]
fn this_process_is_found_under_its_mount() {
    let Ok(root) = CgroupRoot::discover() else { return };
    let Ok(own) = root.of_pid(std::process::id()) else { return };
    assert!(own.path.starts_with(root.path()) && exists(&own.path, own.id));
    assert_eq!(subtree(&own.path, &Default::default()).first(), Some(&own.id));
    assert!(root.admit(&own).is_err());
    assert_eq!(root.at(&own.relative).unwrap(), own);
}

#[test]
fn a_process_that_is_gone_is_an_error_with_its_path() {
    let error = root("/", None).of_pid(u32::MAX).unwrap_err().to_string();
    assert!(error.starts_with("failed to read /proc/4294967295/cgroup: "), "{error}");
}
