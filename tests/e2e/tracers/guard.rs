//! `guard`: each act done for real, and what strace, the calls' own results and the script say of it.

mod acts;
mod strace;

use std::fs;

use remora_tests::{Bed, Bundle, Events, Podman, Trio, events::text};
use serde_json::{Value, json};

/// With rights enough for the acts that harm nobody, and for no others.
fn able(config: &mut Value) {
    allow(config, &["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_SETGID", "CAP_NET_RAW"]);
}

fn allow(config: &mut Value, capabilities: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set] = json!(capabilities);
    }
    config["annotations"]["io.remora.trace"] = "guard".into();
}

/// This program in the container, with the libraries it may need.
fn with_acts(config: &mut Value) {
    let me = std::env::current_exe().expect("our own path");
    let mounts = config["mounts"].as_array_mut().expect("mounts");
    mounts
        .push(json!({ "destination": "/bin/acts", "type": "bind", "source": me, "options": ["bind", "ro"] }));
    for dir in ["/lib", "/lib64", "/usr/lib"].into_iter().filter(|d| fs::exists(d).unwrap_or(false)) {
        mounts.push(json!({ "destination": dir, "type": "bind", "source": dir, "options": ["rbind", "ro"] }));
    }
}

/// What the container executes: `acts` and nothing else.
const ACTS: [&str; 6] =
    ["/bin/acts", "tracers::guard::perform", "--exact", "--ignored", "--nocapture", "--test-threads=1"];

#[test]
#[ignore = "what the other tests run in a container"]
fn perform() {
    acts::perform();
}

fn bed() -> Bed {
    let mut bed = Bed::tracing("guard");
    bed.start();
    bed
}

/// Waits for the end; its events, none of which may be lost.
fn told(bed: &Bed, name: &str) -> Events {
    let ended = bed.ended(name);
    let counts = &ended["ledger"]["tracers"]["guard"];
    assert_eq!(counts["counted"], counts["delivered"], "{ended}");
    bed.events_of(name).only(|e| e["event"]["tracer"] == "guard")
}

/// One of the event's own fields.
fn own<'e>(event: &'e Value, field: &str) -> &'e Value {
    &event[event["event"]["name"].as_str().expect("a name")][field]
}

fn own_text(event: &Value, field: &str) -> String {
    text(event, &format!("{}.{field}", text(event, "event.name")))
}

/// `mount EPERM`: the call and why it failed.
fn call_and_error(event: &Value) -> String {
    format!("{} {}", own_text(event, "call"), own_text(event, "error"))
}

/// Errors by number as the kernel has them, as far as the acts meet them.
fn error_name(result: &str) -> String {
    let names = [
        (1, "EPERM"),
        (2, "ENOENT"),
        (3, "ESRCH"),
        (5, "EIO"),
        (7, "E2BIG"),
        (8, "ENOEXEC"),
        (9, "EBADF"),
        (13, "EACCES"),
        (14, "EFAULT"),
        (16, "EBUSY"),
        (19, "ENODEV"),
        (20, "ENOTDIR"),
        (21, "EISDIR"),
        (22, "EINVAL"),
        (30, "EROFS"),
        (38, "ENOSYS"),
        (95, "EOPNOTSUPP"),
        (97, "EAFNOSUPPORT"),
        (116, "ESTALE"),
        (126, "ENOKEY"),
    ];
    let result: i32 = result.parse().expect("a result");
    let name = |n: &&(i32, &str)| n.0 == -result;
    match names.iter().find(name) {
        _ if result >= 0 => String::new(),
        Some((_, name)) => (*name).to_owned(),
        None => panic!("no name for {result}"),
    }
}

/// Runs the acts in a container with these rights; the events, after having compared them with the results.
fn performed(bed: &Bed, name: &str, change: impl Fn(&mut Value)) -> Events {
    let bundle = Bundle::with(bed, name, &ACTS, |config| {
        with_acts(config);
        change(config);
    });
    let printed = bundle.run();
    drop(bundle);
    let events = told(bed, name);
    let done = |l: &str| l.split_once(acts::MARK).map(|(_, act)| act.to_owned());
    let expected: Vec<String> = printed
        .lines()
        .filter_map(done)
        .map(|act| {
            let (call, result) = act.split_once(' ').expect("a result");
            format!("{call} {}", error_name(result))
        })
        .collect();
    assert!(expected.len() > 60, "{printed}");
    let seen: Vec<String> = events.0.iter().map(call_and_error).collect();
    assert_eq!(expected, seen, "results left, events right");
    assert!(events.texts("process.vpid").iter().all(|p| p == "1"), "{events:?}");
    events
}

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
        "move_mount      / /tmp/m    MOVE_MOUNT_F_EMPTY_PATH",
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
    let mut expected = vec![opened.clone(), written.clone(), opened, written];
    expected.extend(others.map(str::to_owned));
    assert_eq!(seen, expected, "{all:?}");
    assert_eq!(own_text(&all.0[1], "bytes"), pattern.len().to_string());
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

/// Without rights most of it is refused, and told just as well.
#[test]
fn what_is_refused_is_told() {
    let bed = bed();
    let events = performed(&bed, "unable", |config| allow(config, &["CAP_NET_BIND_SERVICE"]));
    let refused = events.only(|e| own_text(e, "error") == "EPERM");
    assert!(refused.len() > 20, "{refused:?}");
    let denied = bed.series("remora_guard_acts_total");
    let denied: f64 = denied.iter().filter(|s| s.label("outcome") == Some("denied")).map(|s| s.value).sum();
    let expected = events.only(|e| ["EPERM", "EACCES"].contains(&own_text(e, "error").as_str()));
    assert_eq!(denied, expected.len() as f64);
}

/// What seccomp refuses never reaches the kernel's own checks.
#[test]
fn what_seccomp_refuses_is_told() {
    let bed = bed();
    let names =
        ["mount", "umount2", "unshare", "setns", "keyctl", "add_key", "memfd_create", "process_vm_readv"];
    let events = performed(&bed, "filtered", |config| {
        able(config);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": [{ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }],
        });
    });
    for name in names {
        let mine = events.only(|e| own_text(e, "call") == name);
        assert!(
            !mine.is_empty() && mine.0.iter().all(|e| own_text(e, "error") == "EPERM"),
            "{name}: {mine:?}"
        );
    }
}

/// What is left out by a container's own wish, and what is told by it.
#[test]
fn parameters_of_a_container() {
    let bed = bed();
    let bundle = Bundle::with(&bed, "wishes", &ACTS, |config| {
        with_acts(config);
        able(config);
        config["annotations"]["io.remora.param.guard.quiet_credentials"] = "1".into();
        config["annotations"]["io.remora.param.guard.verbose"] = "1".into();
    });
    bundle.run();
    drop(bundle);
    let events = told(&bed, "wishes");
    let requests = ["PTRACE_SEIZE", "PTRACE_INTERRUPT", "PTRACE_ATTACH"];
    assert_eq!(events.named("ptrace").texts("ptrace.request"), requests);
    let credentials: Vec<String> = events.named("credentials").0.iter().map(call_and_error).collect();
    assert_eq!(credentials, ["setresuid ", "capset EPERM", "setresuid EPERM"]);
    assert!(!own_text(events.named("credentials").first(), "gained").is_empty());
}

/// A program with the set-user-id bit gives what its caller did not have.
#[test]
fn rights_by_executing_a_program() {
    let bed = bed();
    let script = "echo nobody:x:99:98::/:/bin/sh >>/etc/passwd; cp /bin/busybox /suid/true; \
        su nobody -c /suid/true; chmod 4755 /suid/true; su nobody -c /suid/true";
    let bundle = Bundle::with(&bed, "suid", &["/bin/sh", "-c", script], |config| {
        able(config);
        let suid =
            json!({ "destination": "/suid", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] });
        config["mounts"].as_array_mut().expect("mounts").push(suid);
    });
    bundle.run();
    drop(bundle);
    let events = told(&bed, "suid").named("credentials");
    let exec = events.only(|e| own_text(e, "call") == "execve");
    assert_eq!(exec.len(), 1, "{events:?}");
    let exec = exec.first();
    let user = |of: &str| own(exec, of)["effective"].as_i64();
    assert_eq!((user("previous_user"), user("user")), (Some(99), Some(0)), "{exec}");
    assert_eq!(own(exec, "user")["real"].as_i64(), Some(99), "{exec}");
    assert!(own_text(exec, "gained").contains("CAP_SYS_ADMIN"), "{exec}");
    // The program drops what it was given: busybox does that for applets that need nothing.
    let dropped = events.0.last().expect("an event");
    assert_eq!(own_text(dropped, "call"), "setuid", "{events:?}");
    assert!(own_text(dropped, "lost").contains("CAP_SYS_ADMIN"), "{dropped}");
}

const HARMLESS: &str = "ls -l / >/dev/null; cat /proc/self/status /proc/sys/kernel/osrelease >/dev/null; echo x >/tmp/f; \
    (sleep 0.01 & wait); rm /tmp/f; hostname >/dev/null; nc -w 1 127.0.0.1 1; true";

/// What the runtime does to start a container, and to enter it, is not the container's doing.
#[test]
fn a_harmless_container_is_silent() {
    let bed = bed();
    let script = format!("{HARMLESS}; while [ ! -e /tmp/go ]; do sleep 0.05; done");
    let bundle = Bundle::with(&bed, "harmless", &["/bin/sh", "-c", &script], able);
    let mut child = bundle.start();
    remora_tests::wait_for("the container to run", || bundle.pid());
    bundle.exec(&["/bin/sh", "-c", HARMLESS]);
    fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    drop(bundle);
    let events = told(&bed, "harmless");
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(bed.series("remora_guard_").len(), 0);
}

#[test]
fn a_harmless_container_of_podman_is_silent() {
    let bed = bed();
    let podman = Podman::new(&bed);
    podman.run("harmless", &["--rm", "--annotation", "io.remora.trace=guard"], &["sh", "-c", HARMLESS]);
    let events = told(&bed, "harmless");
    assert!(events.is_empty(), "{events:?}");
}

/// Nobody else's acts are told. What this script does leaves nothing behind on any machine.
#[test]
fn nobody_elses() {
    let script = "mount -t nosuchfs none /tmp 2>/dev/null; chroot / /bin/true; unshare -u /bin/true; \
        insmod /etc/passwd 2>/dev/null; su root -c /bin/true; ping -c 1 -W 1 127.0.0.1 >/dev/null; true";
    let trio = Trio::with("guard", script, able);
    let events = trio.events();
    let mut names = events.texts("event.name");
    names.dedup();
    assert_eq!(names, ["mount", "change_root", "namespace", "module", "credentials", "socket"], "{events:?}");
    assert_eq!(trio.metric("remora_guard_acts_total"), events.len() as f64);
}
