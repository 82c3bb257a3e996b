//! System calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::{Command, Stdio},
};

use remora_tests::{Bed, Bundle, Trio, bed::signal, events::text, run, wait_for};
use serde_json::json;

/// A family's values of a container, by system call.
fn by_call(bed: &Bed, container: &str, family: &str) -> BTreeMap<String, u64> {
    let all = bed.series(family).into_iter();
    let mine = all.filter(|s| s.name == family && s.label("container") == Some(container));
    mine.map(|s| (s.label("syscall").expect("a label").to_owned(), s.value as u64)).collect()
}

/// Calls and errors, of one moment.
fn counts(bed: &Bed, container: &str) -> BTreeMap<String, (u64, u64)> {
    let mut out: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for s in bed.series("remora_syscall_").iter().filter(|s| s.label("container") == Some(container)) {
        let Some(name) = s.label("syscall") else { continue };
        let entry = out.entry(name.to_owned()).or_default();
        match s.name.as_str() {
            "remora_syscall_calls_total" => entry.0 = s.value as u64,
            "remora_syscall_errors_total" => entry.1 = s.value as u64,
            _ => {}
        }
    }
    out
}

/// Calls and errors, of what strace wrote with -f.
fn of_strace(text: &str) -> BTreeMap<String, (u64, u64)> {
    let mut out: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in text.lines() {
        let what = line.split_once(' ').expect("a pid").1.trim_start();
        // What is unfinished is counted when it is resumed; signals and ends are no calls.
        let begun = what.strip_prefix("<... ").unwrap_or(what);
        let name: String = begun.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() || what.ends_with("<unfinished ...>") {
            continue;
        }
        let result = what.rsplit_once(" = ").map_or("?", |(_, r)| r);
        let entry = out.entry(name).or_default();
        entry.0 += 1;
        // What a handler's return puts back is the result of the call that the signal interrupted.
        let failed = result.starts_with("-1 ") || result.starts_with("? ERESTART");
        entry.1 += u64::from(failed && !what.contains("rt_sigreturn"));
    }
    out
}

/// Whether a process waits in open() or openat().
pub fn waits_in_open(pid: u32) -> Option<()> {
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    ["2", "257"].contains(&text.split(' ').next()?).then_some(())
}

const WORK: &str = "trap : USR1; kill -USR1 $$; cat /etc/passwd nowhere >/dev/null 2>&1; ls -lR /bin >/dev/null; \
    mkdir -p /tmp/a/b; mkdir /tmp/a 2>/dev/null; cp /etc/passwd /tmp/a/b/c; rm -r /tmp/a; (exit 3) | cat; \
    sleep 0.01 & wait; nosuch 2>/dev/null; true";

#[test]
fn counts_are_those_of_strace() {
    let mut bed = Bed::tracing("syscall,exec");
    bed.start();
    let script = format!("read go </tmp/fifo; {WORK}");
    let bundle = Bundle::new(&bed, "counted", "syscall,exec", &["/bin/sh", "-c", &script]);
    let fifo = bundle.rootfs().join("tmp/fifo");
    run(Command::new("mkfifo").arg(&fifo));
    let mut child = bundle.start();
    let pid = wait_for("the container to run", || bundle.pid());
    // The runtime's own program waits in open(), too, before it executes the container's.
    wait_for("the script to run", || counts(&bed, "counted").contains_key("execve").then_some(()));
    wait_for("the script to wait", || waits_in_open(pid));
    let first = counts(&bed, "counted");
    let out = bed.path("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(&out).arg("-p").arg(pid.to_string()).stderr(Stdio::null());
    let mut strace = strace.spawn().expect("failed to start strace");
    // To be attached to interrupts the script's open(), which it then calls again.
    let before = wait_for("strace", || {
        let now = counts(&bed, "counted");
        (now.values().map(|n| n.1).sum::<u64>() > first.values().map(|n| n.1).sum()).then_some(now)
    });
    wait_for("the script to wait again", || waits_in_open(pid));
    fs::write(&fifo, "\n").expect("failed to write");
    child.wait().expect("failed to wait");
    strace.wait().expect("failed to wait for strace");
    drop(bundle);
    let ledger = bed.ended("counted");
    assert_eq!(ledger["ledger"]["tracers"]["syscall"]["lost_other"], 0, "{ledger}");
    let mut seen = counts(&bed, "counted");
    let all = seen["execve"];
    for (name, (calls, errors)) in &before {
        let n = seen.get_mut(name).expect("a count never goes");
        *n = (n.0 - calls, n.1 - errors);
    }
    seen.retain(|_, n| n.0 > 0);
    let expected = of_strace(&fs::read_to_string(out).expect("no strace output"));
    assert!(expected.len() > 20 && expected.contains_key("exit_group"), "{expected:?}");
    assert!(expected.contains_key("rt_sigreturn"), "{expected:?}");
    assert_eq!(seen, expected, "counted left, strace right");
    // Init's own exec is the container's first call.
    let execs = bed.metric("remora_exec_execs_total").expect("execs") as u64;
    assert_eq!(all.0 - all.1, execs, "execve() against the programs executed");
}

#[test]
fn first_uses_and_what_seccomp_denies() {
    let script = "echo x >/tmp/x; chmod 600 /tmp/x 2>/dev/null; ls / >/dev/null; ls / >/dev/null; cat nowhere 2>/dev/null; true";
    let trio = Trio::with("syscall", script, |config| {
        let denied = ["chmod", "fchmod", "fchmodat", "fchmodat2"];
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": denied, "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }]
        });
    });
    let counts = counts(&trio.bed, "this");
    let events = trio.events();
    assert_eq!(events.named("first_use").len(), events.len());
    let used: Vec<String> = events.texts("first_use.syscall");
    let names: BTreeSet<&String> = used.iter().collect();
    assert_eq!(names.len(), used.len(), "told of twice: {used:?}");
    assert_eq!(names, counts.keys().collect(), "events and metrics tell of the same calls");
    assert_eq!(used[0], "execve", "the container's first");
    let of = |name: &str| events.only(|e| text(e, "first_use.syscall").ends_with(name));
    let chmod = used.iter().find(|n| n.contains("chmod")).expect("chmod");
    assert_eq!(text(of(chmod).first(), "first_use.error"), "EACCES");
    assert_eq!(text(of(chmod).first(), "process.comm"), "chmod");
    assert_eq!(counts[chmod], (1, 1));
    assert_eq!(text(of("exit_group").first(), "first_use.result"), "0");
    assert_eq!(counts["exit_group"].1, 0);
    let rows = trio.bed.json("/v1/containers/this/tables/syscalls");
    let rows = rows["rows"].as_array().unwrap_or_else(|| panic!("{rows}"));
    let row = |r: &serde_json::Value| {
        let number = |name: &str| r["syscalls"][name].as_u64().unwrap_or_else(|| panic!("{r}"));
        (text(r, "syscalls.syscall"), (number("calls"), number("errors")))
    };
    assert_eq!(rows.iter().map(row).collect::<BTreeMap<_, _>>(), counts, "table and metrics");
}

/// Puts a program of a few instructions into a container's /bin: an ELF file with one segment.
pub fn add_program(bundle: &Bundle, name: &str, code: &[u8]) {
    const AT: u64 = 0x40_0000;
    let size = 120 + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2u8, 0, 62, 0, 1, 0, 0, 0]);
    for word in [AT + 120, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend([0u8; 4]);
    elf.extend([64u8, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1u8, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, AT, AT, size, size, 4096] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    let from = bundle.path().join(name);
    fs::write(&from, elf).expect("failed to write");
    fs::set_permissions(&from, PermissionsExt::from_mode(0o755)).expect("failed to set the mode");
    // By a process of its own: nobody else may have it open for writing when it is executed.
    run(Command::new("cp").arg(from).arg(bundle.rootfs().join("bin")));
}

/// `mov eax, number; syscall`
fn call(number: u32) -> Vec<u8> {
    [&[0xb8][..], &number.to_le_bytes(), &[0x0f, 0x05]].concat()
}

#[test]
fn numbers_without_a_name_and_32_bit_calls() {
    let mut bed = Bed::tracing("syscall");
    bed.start();
    let odd = [call(100_000), call(100_001), call(0x4000_0027), call(u32::MAX), call(600), call(39)].concat();
    // getpid() by int 0x80, where the kernel has it, then exit(): not exit_group().
    let getpid_32 = [0xb8, 20, 0, 0, 0, 0xcd, 0x80];
    let exit = [&[0x31, 0xff][..], &call(60)].concat();
    let code = [&odd[..], &getpid_32, &exit].concat();
    let bundle = Bundle::new(&bed, "odd", "syscall", &["/bin/odd"]);
    add_program(&bundle, "odd", &code);
    let status = bundle.run_command().stdin(Stdio::null()).status().expect("failed to run");
    drop(bundle);
    bed.ended("odd");
    let mut counts = counts(&bed, "odd");
    assert_eq!(counts.remove("unknown"), Some((4, 4)));
    assert_eq!(counts.remove("600"), Some((1, 1)));
    assert_eq!(counts.remove("getpid"), Some((1, 0)));
    assert_eq!(counts.remove("execve"), Some((1, 0)));
    if status.success() {
        assert_eq!(counts.remove("i386:getpid"), Some((1, 0)));
        assert_eq!(counts.remove("exit"), Some((1, 0)));
    } else {
        assert!(status.signal() == Some(11) || status.code() == Some(139), "{status}");
    }
    assert_eq!(counts, BTreeMap::new());
}

#[test]
fn latency_where_it_is_asked_for() {
    let mut bed = Bed::tracing("syscall");
    bed.start();
    let make = |id: &str, latency: bool| {
        Bundle::with(
            &bed,
            id,
            &["/bin/sh", "-c", "sleep 0.3; ls / >/dev/null; trap : USR1; kill -USR1 $$"],
            |c| {
                c["annotations"]["io.remora.trace"] = "syscall".into();
                if latency {
                    c["annotations"]["io.remora.param.syscall.latency"] = "1".into();
                }
            },
        )
    };
    let [timed, plain] = [make("timed", true), make("plain", false)];
    let mut running = [timed.start(), plain.start()];
    running.iter_mut().for_each(|c| assert!(c.wait().expect("failed to wait").success()));
    drop((timed, plain));
    for id in ["timed", "plain"] {
        bed.ended(id);
    }
    assert!(by_call(&bed, "plain", "remora_syscall_latency_seconds_count").is_empty());
    let mut counted = by_call(&bed, "timed", "remora_syscall_latency_seconds_count");
    // Those that do not return are not over, and init's execve() began before the container did.
    let mut calls = by_call(&bed, "timed", "remora_syscall_calls_total");
    calls.remove("exit_group");
    calls.entry("execve".into()).and_modify(|n| *n -= 1);
    counted.entry("execve".into()).or_default();
    assert_eq!(counted, calls, "timed left, counted right");
    let sums = bed.series("remora_syscall_latency_seconds_sum").into_iter();
    let slept = sums.filter(|s| s.label("syscall").is_some_and(|n| n.ends_with("nanosleep")));
    let slept: f64 = slept.map(|s| s.value).sum();
    assert!((0.3..30.0).contains(&slept), "{slept}");
}

#[test]
fn a_call_under_way_is_counted_when_its_thread_is_killed() {
    let mut bed = Bed::tracing("syscall");
    bed.start();
    let bundle = Bundle::new(&bed, "killed", "syscall", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    let pid = wait_for("the container to run", || bundle.pid());
    wait_for("it to sleep", || {
        let text = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
        ["35", "230"].contains(&text.split(' ').next()?).then_some(())
    });
    signal(pid, "KILL");
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("killed");
    let counts = counts(&bed, "killed");
    let slept = counts.iter().find(|(name, _)| name.ends_with("nanosleep"));
    assert_eq!(slept.map(|(_, n)| *n), Some((1, 1)), "{counts:?}");
    assert!(!counts.contains_key("exit_group"), "{counts:?}");
}
