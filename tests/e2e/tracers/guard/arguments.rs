//! The arguments of the acts, as events tell them.

use std::fs;

use remora_tests::{Events, events::text};
use serde_json::Value;

use super::{able, bed, own, own_text, performed};

/// The values of some fields of the events of this name, one text an event.
fn rows(events: &Events, name: &str, fields: &[&str]) -> Vec<String> {
    let row = |e: &Value| fields.iter().map(|f| own_text(e, f)).collect::<Vec<_>>().join(" ");
    events.named(name).0.iter().map(row).collect()
}

#[test]
fn each_act_is_told_with_its_arguments_and_result() {
    let bed = bed();
    let events = performed(&bed, "able", able);
    let all = |name: &str, fields: &[&str], expected: &[&str]| {
        assert_eq!(rows(&events, name, fields), expected, "{name}: {:#?}", events.named(name));
    };
    let fields = ["source", "target", "fs_type", "options", "flags"];
    all("mount", &fields, &["none /tmp/m tmpfs size=64k MS_NOSUID|MS_NODEV"]);
    all("umount", &["target", "flags"], &["/tmp/m MNT_DETACH", "/tmp/m MNT_DETACH", "/tmp/m "]);
    all("change_root", &["path", "old_path"], &["/ ", "/nowhere ", "/tmp /tmp/m"]);
    all(
        "process_access",
        &["access", "bytes", "path"],
        &["read 16 ", "write 16 ", "descriptor  ", "read_write  /proc/1/mem", "write 3 /proc/1/mem"],
    );
    let pids = events.named("process_access").texts("process_access.target_pid");
    assert_eq!(pids, ["1", "1", "1", "1", "1"], "the container's init has done it to itself");
    all("ptrace", &["request"], &["PTRACE_SEIZE", "PTRACE_ATTACH"]);
    all(
        "socket",
        &["family", "type", "protocol"],
        &["AF_INET SOCK_RAW 1", "AF_PACKET SOCK_DGRAM 2048", "AF_ALG SOCK_SEQPACKET 0", "AF_INET SOCK_RAW 1"],
    );
    all(
        "module",
        &["path", "parameters", "name", "flags"],
        &[" a=b  ", "/etc/passwd c=d  MODULE_INIT_IGNORE_VERMAGIC", "  no_such_module "],
    );
    all(
        "bpf",
        &["command", "program_type"],
        &["BPF_PROG_LOAD BPF_PROG_TYPE_SOCKET_FILTER", "BPF_MAP_LOOKUP_ELEM "],
    );
    all("perf_event", &["type", "target_pid", "cpu"], &["PERF_TYPE_SOFTWARE 0 -1"]);
    all(
        "keyring",
        &["type", "description", "operation"],
        &["user remora ", "user remora-none ", "  KEYCTL_GET_KEYRING_ID"],
    );
    all("memfd", &["name", "flags"], &["remora MFD_CLOEXEC|MFD_ALLOW_SEALING", " 0x100000"]);
    all("prctl", &["option", "argument"], &["PR_SET_KEEPCAPS 1", "PR_CAPBSET_DROP 63"]);
    all("seccomp", &["mode"], &["filter", "filter"]);
    namespaces(&events);
    mount_api(&events);
    kernel_config(&events);
    credentials(&events);
    let mounts = "remora_guard_acts_total{namespace=\"\",pod=\"\",container=\"able\",act=\"umount\",outcome=\"failed\"}";
    assert_eq!(bed.metric(mounts), Some(1.0), "{:?}", bed.series("remora_guard"));
}

fn namespaces(events: &Events) {
    let all = events.named("namespace");
    let types =
        ["CLONE_NEWUTS", "CLONE_NEWUTS", "0", "CLONE_NEWUTS", "CLONE_NEWUTS", "CLONE_NEWIPC", "CLONE_NEWUTS"];
    assert_eq!(all.texts("namespace.types"), types, "{all:?}");
    assert!(own(&all.0[1], "inode").as_u64() > Some(0x1000_0000), "{:?}", all.0[1]);
    assert_eq!(own_text(&all.0[3], "target_pid"), "1");
    assert!(own(&all.0[4], "child_pid").as_u64() > Some(1), "{:?}", all.0[4]);
    assert!(own(&all.0[5], "child_pid").as_u64() > Some(1), "{:?}", all.0[5]);
}

fn mount_api(events: &Events) {
    let fields = [
        "call",
        "error",
        "fs_type",
        "key",
        "value",
        "command",
        "path",
        "target",
        "attributes",
        "cleared",
        "flags",
        "move_flags",
    ];
    let mut expected = vec![
        "fsopen  tmpfs         ",
        "fsconfig  tmpfs size 64k FSCONFIG_SET_STRING      ",
        "fsconfig  tmpfs   FSCONFIG_CMD_CREATE      ",
        "fsmount  tmpfs      MOUNT_ATTR_NOSUID   ",
        "move_mount      /tmp/m /tmp/m    MOVE_MOUNT_F_EMPTY_PATH",
        "mount_setattr      /tmp/m  MOUNT_ATTR_RDONLY MOUNT_ATTR_NODEV AT_SYMLINK_NOFOLLOW ",
        "open_tree      /tmp/m    OPEN_TREE_CLONE ",
    ];
    let seen = rows(events, "mount_api", &fields);
    let old = "mount_setattr ENOSYS     /tmp/m  MOUNT_ATTR_RDONLY MOUNT_ATTR_NODEV AT_SYMLINK_NOFOLLOW ";
    if seen.iter().any(|s| s == old) {
        expected[5] = old; // before 5.12
    }
    assert_eq!(seen, expected);
}

fn kernel_config(events: &Events) {
    let all = events.named("kernel_config");
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("no core_pattern");
    let seen: Vec<String> =
        all.0.iter().map(|e| format!("{} {}", text(e, "file.path"), own_text(e, "value"))).collect();
    let core = "/proc/sys/kernel/core_pattern";
    let written = format!("{core} {}", pattern.chars().take(255).collect::<String>());
    let opened = format!("{core} ");
    let others = [
        "/sys/kernel/nothing ",
        "/proc/sys/kernel/nothing ",
        "/tmp/../proc/sys/nothing ",
        "/nowhere/release_agent ",
    ];
    let mut expected = vec![opened.clone(), opened, written.clone(), written];
    expected.extend(others.map(str::to_owned));
    assert_eq!(seen, expected, "{all:?}");
    assert_eq!(own_text(&all.0[2], "bytes"), pattern.len().to_string());
}

fn credentials(events: &Events) {
    let all = events.named("credentials");
    let ids = |e: &Value, of: &str| {
        ["real", "effective", "saved", "fs"].map(|i| own(e, of)[i].to_string()).join(" ")
    };
    let of = |i: usize, kind: &str| ids(&all.0[i], kind);
    let list = |i: usize, field: &str| own_text(&all.0[i], field);
    assert_eq!(own_text(&all.0[0], "groups"), "1");
    assert_eq!((of(1, "previous_group"), of(1, "group")), ("0 0 0 0".into(), "100 100 100 100".into()));
    assert_eq!(of(1, "requested"), "100 100 100 -1");
    assert_eq!((of(2, "previous_user"), of(2, "user")), ("0 0 0 0".into(), "0 200 0 200".into()));
    assert_eq!(of(2, "requested"), "-1 200 -1 -1");
    let able = r#"["CAP_SETGID","CAP_SETUID","CAP_NET_RAW","CAP_SYS_CHROOT","CAP_SYS_ADMIN"]"#;
    assert_eq!((list(2, "lost"), list(2, "gained")), (able.into(), String::new()));
    assert_eq!((list(3, "lost"), list(3, "gained")), (String::new(), able.into()));
    assert_eq!((list(4, "lost"), list(4, "gained")), (able.into(), String::new()));
    assert_eq!(list(5, "requested_capabilities"), r#"["CAP_SYS_ADMIN"]"#);
    assert_eq!((of(6, "requested"), of(6, "user")), ("200 200 200 -1".into(), "0 0 0 0".into()));
}
