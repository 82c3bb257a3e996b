//! What strace says of the acts, in the words of the events.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use remora_tests::{Bed, Events, events::text, wait_for};
use serde_json::Value;

use super::{able, bundle, call_and_error, own_text, told};

/// By thread, since the order between threads is nobody's to tell.
type Acts = BTreeMap<u64, Vec<String>>;

const CALLS: &str = "trace=mount,umount2,pivot_root,chroot,setns,unshare,init_module,finit_module,delete_module,\
    socket,setgroups,setuid,setgid,openat,open,write,keyctl,ptrace,bpf,prctl";

/// Runs a script in a container to whose init strace attached itself from outside.
fn run(bed: &Bed, name: &str, script: &str) -> (String, Events) {
    let waiting = format!("exec >/tmp/out 2>&1; while [ ! -e /tmp/go ]; do sleep 0.05; done; {script}");
    let bundle = bundle(bed, name, &["/bin/sh", "-c", &waiting], able);
    let mut child = bundle.start();
    let pid = wait_for("the container to run", || bundle.pid());
    let out = bed.path("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "4096", "-e", CALLS, "-p", &pid.to_string(), "-o"]).arg(&out);
    let mut strace = strace.stderr(Stdio::piped()).spawn().expect("failed to start strace");
    let mut says = BufReader::new(strace.stderr.take().expect("stderr")).lines();
    let attached = says.find(|l| l.as_ref().is_ok_and(|l| l.contains("attached")));
    assert!(attached.is_some(), "strace did not attach");
    std::thread::spawn(move || says.count());
    fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    strace.wait().expect("failed to wait");
    drop(bundle);
    (fs::read_to_string(out).expect("no strace output"), told(bed, name))
}

/// Lines by thread, with calls that another thread's line interrupted put together.
fn lines(text: &str) -> Vec<(u64, String)> {
    let mut open: BTreeMap<u64, String> = BTreeMap::new();
    let mut out = Vec::new();
    for line in text.lines() {
        let (tid, rest) = line.split_once(' ').expect("a thread");
        let (tid, rest) = (tid.parse().expect("a thread"), rest.trim_start());
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(tid, begun.to_owned());
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            out.push((tid, open.remove(&tid).unwrap_or_default() + end));
        } else {
            out.push((tid, rest.to_owned()));
        }
    }
    out
}

fn unquoted(argument: &str) -> &str {
    match argument {
        "NULL" | "0" => "",
        other => other.trim_matches('"'),
    }
}

fn sorted(flags: &str) -> String {
    let mut flags: Vec<_> = unquoted(flags).split('|').collect();
    flags.sort_unstable();
    flags.join("|")
}

/// What stands between `<` and `>` behind a descriptor.
fn in_brackets(text: &str) -> &str {
    text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path)
}

/// Whether writing there configures the kernel, or a process's memory.
fn is_guarded(path: &str) -> bool {
    path.starts_with("/proc/sys") || (path.starts_with("/proc/") && path.ends_with("/mem"))
}

/// A line as the event that must tell it, if one must.
fn act(line: &str, ids: &mut BTreeMap<&'static str, String>) -> Option<String> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let a: Vec<&str> = arguments.split(", ").collect();
    let error = result.strip_prefix("-1 ").and_then(|e| e.split(' ').next()).unwrap_or_default();
    let details = match name {
        "mount" => {
            // Remounting takes no type, and strace shows none.
            let fs_type = if a[3].contains("MS_REMOUNT") { "" } else { unquoted(a[2]) };
            [unquoted(a[0]), unquoted(a[1]), fs_type, &sorted(a[3]), unquoted(a[4])].join(" ")
        }
        "umount2" => format!("{} {}", unquoted(a[0]), sorted(a[1])),
        "pivot_root" => format!("{} {}", unquoted(a[0]), unquoted(a[1])),
        "chroot" => unquoted(a[0]).to_owned(),
        "unshare" => sorted(a[0]),
        "setns" => a[1].to_owned(),
        "finit_module" => in_brackets(a[0]).to_owned(),
        "delete_module" => unquoted(a[0]).to_owned(),
        "init_module" | "setgroups" | "ptrace" | "bpf" | "keyctl" => String::new(),
        "setuid" | "setgid" => {
            // What stays as it is is no change.
            let name = if name == "setuid" { "setuid" } else { "setgid" };
            let before = ids.insert(name, a[0].to_owned()).unwrap_or_else(|| "0".to_owned());
            (before != a[0]).then(|| a[0].to_owned())?
        }
        "socket" if a[1].contains("SOCK_RAW") && !a[0].contains("NETLINK") => format!("{} SOCK_RAW", a[0]),
        "open" | "openat" => {
            let (path, flags) = if name == "open" { (a[0], a[1]) } else { (a[1], a[2]) };
            let opened = in_brackets(result);
            let path = if opened.is_empty() { unquoted(path) } else { opened };
            let writes = flags.contains("O_WRONLY") || flags.contains("O_RDWR");
            (writes && is_guarded(path)).then(|| path.to_owned())?
        }
        "write" => {
            let path = in_brackets(a[0]);
            is_guarded(path).then(|| path.to_owned())?
        }
        _ => return None,
    };
    Some(format!("{name} {details} {error}"))
}

/// An event in the same words.
fn seen(event: &Value) -> String {
    let field = |f: &str| own_text(event, f);
    let all = |fields: &[&str]| fields.iter().map(|f| field(f)).collect::<Vec<_>>().join(" ");
    let details = match text(event, "event.name").as_str() {
        "mount" => {
            let flags = sorted(&field("flags"));
            let fs_type = if flags.contains("MS_REMOUNT") { String::new() } else { field("fs_type") };
            [field("source"), field("target"), fs_type, flags, field("options")].join(" ")
        }
        "umount" => format!("{} {}", field("target"), sorted(&field("flags"))),
        "change_root" if field("call") == "chroot" => field("path"),
        "change_root" => all(&["path", "old_path"]),
        "namespace" => sorted(&field("types")),
        "module" if field("call") == "finit_module" => field("path"),
        "module" => field("name"),
        "credentials" if field("call") == "setuid" => text(event, "credentials.user.real"),
        "credentials" if field("call") == "setgid" => text(event, "credentials.group.real"),
        "socket" => all(&["family", "type"]),
        "kernel_config" => text(event, "file.path"),
        "process_access" => field("path"),
        _ => String::new(),
    };
    format!("{} {details} {}", field("call"), field("error"))
}

const SCRIPT: &str = "echo nobody:x:99:98::/:/bin/sh >>/etc/passwd; echo nobody:x:98: >/etc/group; mkdir /tmp/m; \
    mount -t tmpfs -o nosuid,size=64k none /tmp/m; mount -o remount,ro /tmp/m; umount /tmp/m; umount /tmp/m; \
    mount -t nosuchfs none /tmp/m; mount --bind /etc /tmp/m; umount -l /tmp/m; chroot / /bin/true; \
    chroot /nowhere /bin/true; pivot_root /tmp /tmp/m; unshare -u /bin/true; unshare -i /bin/true; \
    nsenter -t 1 -u /bin/true; insmod /etc/passwd; rmmod no_such_module; ping -c 1 -W 1 127.0.0.1; \
    su nobody -c /bin/true; pattern=$(cat /proc/sys/kernel/core_pattern); \
    echo \"$pattern\" >/proc/sys/kernel/core_pattern; echo x >/proc/sys/kernel/nothing; echo x >/proc/self/mem; \
    cat /proc/self/status /proc/mounts >/dev/null; echo x >/tmp/f; ls /proc/sys/kernel >/dev/null; true";

#[test]
fn acts_of_a_script_are_those_of_strace() {
    let bed = super::bed();
    let (strace, events) = run(&bed, "script", SCRIPT);
    let mut expected = Acts::new();
    let mut ids: BTreeMap<u64, _> = BTreeMap::new();
    for (tid, line) in lines(&strace) {
        if let Some(act) = act(&line, ids.entry(tid).or_default()) {
            expected.entry(tid).or_default().push(act);
        }
    }
    let mut told = Acts::new();
    for event in &events.0 {
        let tid = event["process"]["tid"].as_u64().expect("a thread");
        told.entry(tid).or_default().push(seen(event));
    }
    let calls: Vec<String> = events.0.iter().map(call_and_error).collect();
    assert!(expected.values().flatten().count() > 20, "{strace}");
    assert_eq!(expected, told, "strace left, events right\n{calls:?}\n{strace}");
}
