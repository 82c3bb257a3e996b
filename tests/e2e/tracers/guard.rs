//! `guard`: each act done for real, and what strace, the calls' own results and the script say of it.

mod arguments;
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
}

/// A bundle of which `guard` tells.
fn bundle(bed: &Bed, name: &str, args: &[&str], change: impl FnOnce(&mut Value)) -> Bundle {
    Bundle::with(bed, name, args, |config| {
        config["annotations"]["io.remora.trace"] = "guard".into();
        change(config);
    })
}

/// What the container executes: the acts and nothing else.
const ACTS: [&str; 2] = ["/bin/act", "guard"];

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
    let bundle = bundle(bed, name, &ACTS, change).with_act();
    let printed = bundle.run();
    drop(bundle);
    let events = told(bed, name);
    let expected: Vec<String> = printed
        .lines()
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

/// Without rights most of it is refused, and told just as well.
#[test]
fn what_is_refused_is_told() {
    let bed = bed();
    let events = performed(&bed, "unable", |config| {
        allow(config, &["CAP_NET_BIND_SERVICE"]);
        config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    });
    let refused = events.only(|e| own_text(e, "error") == "EPERM");
    assert!(refused.len() > 20, "{refused:?}");
    let opened = events.named("kernel_config").only(|e| own_text(e, "error") == "EROFS");
    assert_eq!(opened.texts("file.path"), ["/proc/sys/kernel/core_pattern"; 2], "{events:?}");
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
    let bundle = bundle(&bed, "wishes", &ACTS, |config| {
        able(config);
        config["annotations"]["io.remora.param.guard.quiet_credentials"] = "1".into();
        config["annotations"]["io.remora.param.guard.verbose"] = "1".into();
    })
    .with_act();
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
    let bundle = bundle(&bed, "suid", &["/bin/sh", "-c", script], |config| {
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
    let bundle = bundle(&bed, "harmless", &["/bin/sh", "-c", &script], able);
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
