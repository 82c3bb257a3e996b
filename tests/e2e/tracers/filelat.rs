//! Latency of calls on files, against strace.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use remora_tests::{Bed, Bundle, Trio, events::text, wait_for};

const WORK: &str = "dd if=/dev/zero of=/tmp/big bs=1M count=3 2>/dev/null; cat /tmp/big >/tmp/copy; \
    dd if=/tmp/big of=/tmp/synced bs=64k conv=fsync 2>/dev/null; cat /tmp/nowhere /etc/passwd 2>/dev/null | wc -c; \
    ls /bin >/dev/null; cat /proc/self/status >/dev/null; echo x >/dev/null; cat /tmp >/dev/null 2>&1; true";

/// Values of a family of a container, by operation and file system.
fn by_op(bed: &Bed, container: &str, name: &str) -> BTreeMap<(String, String), f64> {
    let all = bed.series(name).into_iter();
    let mine = all.filter(|s| s.name == name && s.label("container") == Some(container));
    let label = |s: &remora_tests::bed::Series, l: &str| s.label(l).expect("a label").to_owned();
    mine.map(|s| ((label(&s, "op"), label(&s, "fs")), s.value)).collect()
}

fn sum(values: &BTreeMap<(String, String), f64>, op: &str) -> f64 {
    values.iter().filter(|((o, _), _)| o == op).map(|(_, v)| v).sum()
}

/// The type of the root's file system, as the container's own table of mounts has it.
fn root_type(mounts: &str) -> String {
    let line = mounts.lines().find(|l| l.split(' ').nth(4) == Some("/"));
    let line = line.unwrap_or_else(|| panic!("no root in {mounts:?}"));
    let rest = line.split_once(" - ").expect("a type").1;
    rest.split(' ').next().expect("a type").to_owned()
}

#[test]
fn only_this_containers_and_by_file_system() {
    let trio = Trio::run("filelat", &format!("cat /proc/self/mountinfo; {WORK}"));
    let root = root_type(&trio.printed[0]);
    let counts = by_op(&trio.bed, "this", "remora_filelat_latency_seconds_count");
    let of = |op: &str, fs: &str| counts.get(&(op.to_owned(), fs.to_owned())).copied().unwrap_or_default();
    assert!(of("write", &root) >= 3.0 + 48.0, "{counts:?}");
    assert!(of("read", &root) >= 48.0 && of("read", "proc") >= 1.0, "{counts:?}");
    assert_eq!(of("fsync", &root), 1.0, "{counts:?}");
    assert!(of("open", &root) >= 6.0 && of("open", "none") >= 1.0, "{counts:?}");
    let errors = by_op(&trio.bed, "this", "remora_filelat_errors_total");
    assert!(errors[&("open".into(), "none".into())] >= 1.0, "{errors:?}");
    assert!(trio.events().is_empty(), "{:?}", trio.events());
}

/// Counts and seconds by operation, of calls on files.
fn of_strace(text: &str) -> BTreeMap<&'static str, (f64, f64)> {
    let mut out: BTreeMap<&'static str, (f64, f64)> = BTreeMap::new();
    for line in text.lines() {
        let call = line.split_once(' ').map_or(line, |(_, rest)| rest.trim_start());
        let Some((name, rest)) = call.split_once('(') else { continue };
        let (Some((_, time)), Some((_, result))) = (rest.rsplit_once('<'), rest.rsplit_once(" = ")) else {
            continue;
        };
        let op = match name {
            "read" | "readv" | "pread64" => "read",
            "write" | "writev" | "pwrite64" => "write",
            "open" | "openat" | "creat" => "open",
            "fsync" | "fdatasync" => "fsync",
            _ => continue,
        };
        // The descriptor's file: the first argument's, or the result's. Devices, pipes and the like are left out.
        let file = if op == "open" { result } else { rest };
        let failed = op == "open" && result.starts_with("-1");
        let path = file.split_once('<').map_or("", |(_, p)| p);
        if !failed && (!path.starts_with('/') || path.starts_with("/dev/")) {
            continue;
        }
        let time: f64 = time.trim_end_matches('>').parse().expect("a time");
        let entry = out.entry(op).or_default();
        *entry = (entry.0 + 1.0, entry.1 + time);
    }
    out
}

#[test]
fn counts_are_those_of_strace() {
    let mut bed = Bed::tracing("filelat");
    bed.start();
    let script = format!("while [ ! -e /tmp/go ]; do usleep 20000; done; {WORK}");
    let bundle = Bundle::with(&bed, "filelat-traced", &["/bin/sh", "-c", &script], |config| {
        config["annotations"]["io.remora.trace"] = "filelat".into();
    });
    let mut child = bundle.start();
    let pid = wait_for("the container to run", || bundle.pid());
    // Between waits: what the shell's children do is nothing with files.
    let out = bed.path("strace");
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-T",
        "-y",
        "-s",
        "0",
        "-e",
        "trace=read,readv,pread64,write,writev,pwrite64,open,openat,creat,fsync,fdatasync",
    ]);
    strace.arg("-o").arg(&out).arg("-p").arg(pid.to_string()).stderr(Stdio::null());
    let mut strace = strace.spawn().expect("failed to start strace");
    wait_for("strace", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        (!status.contains("TracerPid:\t0\n")).then_some(())
    });
    let before = by_op(&bed, "filelat-traced", "remora_filelat_latency_seconds_count");
    let start = by_op(&bed, "filelat-traced", "remora_filelat_latency_seconds_sum");
    fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    strace.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("filelat-traced");
    let after = by_op(&bed, "filelat-traced", "remora_filelat_latency_seconds_count");
    let end = by_op(&bed, "filelat-traced", "remora_filelat_latency_seconds_sum");
    let expected = of_strace(&fs::read_to_string(out).expect("no strace output"));
    for op in ["read", "write", "open", "fsync"] {
        let (count, time) = expected.get(op).copied().unwrap_or_default();
        let mine = sum(&after, op) - sum(&before, op);
        assert_eq!(mine, count, "{op}: {after:?} after {before:?}, strace {expected:?}");
        // strace's own work comes on top of what it measures.
        let seconds = sum(&end, op) - sum(&start, op);
        assert!(seconds > 0.0 && seconds <= time + 0.05, "{op}: {seconds} against {time}");
    }
}

#[test]
fn slow_ones_are_events() {
    let mut bed = Bed::tracing("filelat");
    bed.start();
    let script = "dd if=/dev/zero of=/tmp/big bs=8M count=1 2>/dev/null; cat /tmp/none 2>/dev/null; true";
    let run = |name: &str, slow: &str| {
        let bundle = Bundle::with(&bed, name, &["/bin/sh", "-c", script], |config| {
            config["annotations"]["io.remora.trace"] = "filelat".into();
            config["annotations"]["io.remora.param.filelat.slow_us"] = slow.into();
        });
        bundle.run();
        drop(bundle);
        bed.ended(name);
        (bed.events_of(name).named("slow"), sum(&by_op(&bed, name, "remora_filelat_slow_total"), "write"))
    };
    let (events, slow) = run("filelat-slow", "1");
    let written = events.only(|e| text(e, "slow.op") == "write" && text(e, "file.path") == "/tmp/big");
    assert_eq!(written.len(), 1, "{events:?}");
    assert_eq!(text(written.first(), "slow.result"), (8 << 20).to_string());
    assert_eq!(text(written.first(), "process.comm"), "dd");
    assert!(slow >= 1.0);
    let seconds = |e: &serde_json::Value| text(e, "slow.duration").parse::<f64>().expect("a duration");
    assert!(events.0.iter().all(|e| seconds(e) >= 1e-6), "{events:?}");
    let missing = events.only(|e| text(e, "slow.error") == "ENOENT" && text(e, "file.path") == "/tmp/none");
    assert_eq!(missing.len(), 1, "{events:?}");
    assert_eq!(text(missing.first(), "slow.op"), "open");
    let (events, slow) = run("filelat-never", "600000000");
    assert!(events.is_empty() && slow == 0.0, "{events:?}");
}
