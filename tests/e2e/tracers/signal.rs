//! Signals.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use remora_tests::{Bed, Bundle, Events, Trio, bed, events::text, run, wait_for};
use serde_json::Value;

use super::syscall::{add_program, waits_in_open};

/// What came to a process: signal, how it came to be, and who sent it, as the container numbers processes.
type Came = (String, String, String);

/// Signals by receiver, of what strace wrote with -f; what is no number there is nobody.
fn of_strace(text: &str) -> BTreeMap<u32, Vec<Came>> {
    let mut out: BTreeMap<u32, Vec<Came>> = BTreeMap::new();
    for line in text.lines() {
        let (pid, what) = line.split_once(' ').expect("a pid");
        let Some(what) = what.trim_start().strip_prefix("--- ") else { continue };
        let part = |key: &str| what.split_once(key)?.1.split([',', '}']).next().map(str::to_owned);
        let (Some(signal), Some(code)) = (part("si_signo="), part("si_code=")) else { continue };
        if signal == FORWARDED {
            continue;
        }
        let sender = part("si_pid=").filter(|_| is_told(&signal)).unwrap_or_default();
        out.entry(pid.parse().expect("a pid")).or_default().push((signal, code, sender));
    }
    out
}

/// runc passes on what its own threads send each other.
const FORWARDED: &str = "SIGURG";

/// Of a child that is traced it is the tracer that tells the parent.
fn is_told(signal: &str) -> bool {
    signal != "SIGCHLD"
}

fn of_events(events: &Events) -> BTreeMap<u32, Vec<Came>> {
    let mut out: BTreeMap<u32, Vec<Came>> = BTreeMap::new();
    // One that is pending already comes once.
    let came = |e: &&Value| text(e, "signal.direction") != "sent" && text(e, "signal.result") == "delivered";
    for e in events.0.iter().filter(came) {
        let pid = e["signal"]["target"]["tid"].as_u64().expect("a pid") as u32;
        let signal = text(e, "signal.signal");
        if signal == FORWARDED || signal == "SIGKILL" {
            continue; // strace sees no SIGKILL come
        }
        let by_process = text(e, "signal.direction") != "kernel" && text(e, "signal.code") != "SI_TIMER";
        let sender = if by_process && is_told(&signal) { text(e, "process.vpid") } else { String::new() };
        out.entry(pid).or_default().push((signal, text(e, "signal.code"), sender));
    }
    out
}

/// Writes to address 0.
const FAULT: [u8; 4] = [0x31, 0xc0, 0x89, 0x00];
/// `rt_sigqueueinfo(getpid(), SIGUSR1, {code: SI_TIMER})`, then `exit(0)`.
const FORGE: [u8; 40] = [
    0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xbe, 10, 0, 0, 0, 0x48, 0x8d, 0x15, 0x13, 0, 0, 0, 0xb8, 129,
    0, 0, 0, 0x0f, 0x05, 0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0x90, 0x90, 0x90,
];

/// The program and the siginfo behind it.
fn forge() -> Vec<u8> {
    let mut code = FORGE.to_vec();
    for word in [10i32, 0, -2] {
        code.extend(word.to_le_bytes());
    }
    code.resize(FORGE.len() + 128, 0);
    code
}

const WORK: &str = "trap : USR1 USR2; kill -USR1 $$; sh -c 'kill -USR2 1'; /bin/fault 2>/dev/null; /bin/forge; \
    sleep 100 & kill -TERM $!; wait $!; timeout 0.1 sleep 100; yes | head -n 1 >/dev/null; sh -c 'exit 3'; true";

#[test]
fn signals_are_those_of_strace() {
    let mut bed = Bed::tracing("signal,exec");
    bed.start();
    // The last word of the script is not executed in the shell's place.
    let script = format!("read go </tmp/fifo; {WORK}");
    let bundle = Bundle::with(&bed, "told", &["/bin/sh", "-c", &script], |config| {
        config["annotations"]["io.remora.trace"] = "signal,exec".into();
        config["annotations"]["io.remora.param.signal.children"] = "1".into();
    });
    add_program(&bundle, "fault", &FAULT);
    add_program(&bundle, "forge", &forge());
    let fifo = bundle.rootfs().join("tmp/fifo");
    run(Command::new("mkfifo").arg(&fifo));
    let mut child = bundle.start();
    let pid = wait_for("the container to run", || bundle.pid());
    wait_for("the script to run", || (!bed.events_of("told").named("exec").is_empty()).then_some(()));
    wait_for("the script to wait", || waits_in_open(pid));
    let out = bed.path("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=none", "-o"]).arg(&out).arg("-p").arg(pid.to_string());
    let mut strace = strace.stderr(Stdio::null()).spawn().expect("failed to start strace");
    wait_for("strace", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the container is gone");
        status.lines().any(|l| *l == format!("TracerPid:\t{}", strace.id())).then_some(())
    });
    wait_for("the script to wait again", || waits_in_open(pid));
    fs::write(&fifo, "\n").expect("failed to write");
    child.wait().expect("failed to wait");
    strace.wait().expect("failed to wait for strace");
    drop(bundle);
    bed.ended("told");
    let events = bed.events_of("told").named("signal");
    let expected = of_strace(&fs::read_to_string(out).expect("no strace output"));
    let codes: Vec<&String> = expected.values().flatten().map(|(_, code, _)| code).collect();
    for code in ["SI_USER", "SI_TIMER", "SEGV_MAPERR", "CLD_EXITED", "CLD_KILLED"] {
        assert!(codes.iter().any(|c| *c == code), "{code}: {expected:?}");
    }
    assert_eq!(of_events(&events), expected, "events left, strace right");
    let of = |name: &str, direction: &str| {
        let mine =
            events.only(|e| text(e, "process.comm") == name && text(e, "signal.direction") == direction);
        mine.only(|e| text(e, "signal.signal") != "SIGCHLD")
    };
    // A code that processes may not give, and a process that gave it all the same.
    assert_eq!(of("forge", "internal").texts("signal.code"), ["SI_TIMER"]);
    assert_eq!(of("fault", "kernel").texts("signal.signal"), ["SIGSEGV"]);
}

#[test]
fn who_signals_whom() {
    let script =
        "sleep 100 & p=$!; kill -USR1 $p; wait $p; echo $p; sh -c 'kill -9 $$'; sh -c 'exit 3'; true";
    let trio = Trio::run("signal", script);
    let events = trio.events();
    let named = |signal: &str| events.only(|e| text(e, "signal.signal") == signal);
    let usr1 = named("SIGUSR1");
    assert_eq!(usr1.len(), 1, "{events:?}");
    let printed = trio.printed[0].lines().find(|l| l.parse::<u32>().is_ok()).expect("a pid");
    assert_eq!(text(usr1.first(), "signal.target.vpid"), printed);
    assert_eq!(text(usr1.first(), "signal.result"), "delivered");
    let kill = named("SIGKILL");
    assert_eq!(text(kill.first(), "signal.target.pid"), text(kill.first(), "process.pid"));
    // Children that exit are counted, and by default no more than that.
    assert!(!events.texts("signal.code").contains(&"CLD_EXITED".to_owned()), "{events:?}");
    let series = trio.bed.series("remora_signal_signals_total");
    let count = |signal: &str| {
        let mine = series.iter().filter(|s| s.label("signal") == Some(signal));
        mine.filter(|s| s.label("direction") == Some("internal")).map(|s| s.value).sum::<f64>()
    };
    assert_eq!((count("SIGUSR1"), count("SIGKILL")), (1.0, 1.0));
    assert!(count("SIGCHLD") > named("SIGCHLD").len() as f64, "{series:?}");
}

#[test]
fn signals_over_the_containers_border() {
    let mut bed = Bed::tracing("signal,exec");
    bed.start();
    let inwards = Bundle::new(
        &bed,
        "inwards",
        "signal,exec",
        &["/bin/sh", "-c", "trap 'exit 7' TERM; touch /tmp/ready; while :; do sleep 0.05; done"],
    );
    let mut child = inwards.start();
    let pid = wait_for("the container to run", || inwards.pid());
    wait_for("the trap to be set", || inwards.rootfs().join("tmp/ready").exists().then_some(()));
    bed::signal(pid, "TERM");
    assert_eq!(child.wait().expect("failed to wait").code(), Some(7));
    let mut victim = Command::new("sleep").arg("1000").spawn().expect("failed to start sleep");
    let script = format!("kill -TERM {}", victim.id());
    let outwards = Bundle::with(&bed, "outwards", &["/bin/sh", "-c", &script], |config| {
        config["annotations"]["io.remora.trace"] = "signal,exec".into();
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.retain(|n| n["type"] != "pid");
    });
    outwards.run();
    assert!(!victim.wait().expect("failed to wait").success());
    drop((inwards, outwards));
    for (name, direction, target) in [("inwards", "received", pid), ("outwards", "sent", victim.id())] {
        bed.ended(name);
        let events = bed.events_of(name).only(|e| text(e, "signal.signal") == "SIGTERM");
        let event = events.first();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(text(event, "signal.direction"), direction);
        assert_eq!(text(event, "signal.target.pid"), target.to_string());
        assert_eq!(text(event, "signal.code"), "SI_USER");
    }
    let event = bed.events_of("inwards").only(|e| text(e, "signal.signal") == "SIGTERM");
    assert_eq!(text(event.first(), "signal.target.vpid"), "1");
    assert_eq!(text(event.first(), "process.comm"), "kill");
}
