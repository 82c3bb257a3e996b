//! Tracers change while everything runs: replaced without a gap, started and stopped without a trace.

mod budgets;
mod params;
mod switches;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
};

use remora_tests::{Bed, Bundle, count, emulated, fixture, output, run, wait_for};
use serde_json::Value;

/// A container whose program closes descriptors that are not there, each time another number.
struct Ticking {
    bundle: Bundle,
    child: Child,
}

impl Ticking {
    fn new(bed: &Bed, id: &str, rate: u32) -> Self {
        Self::with(bed, id, rate, |_| ())
    }

    fn with(bed: &Bed, id: &str, rate: u32, change: impl FnOnce(&mut Value)) -> Self {
        let script = format!("exec /bin/act ticks {rate} /tmp/stop >/tmp/count");
        let bundle = Bundle::with(bed, id, &["/bin/sh", "-c", &script], |config| {
            config["annotations"]["io.remora.trace"] = "ticks".into();
            change(config);
        });
        let bundle = bundle.with_act();
        let child = bundle.start();
        wait_for("the container to be in scope", || bed.container(id));
        Self { bundle, child }
    }

    /// Ends it; how many ticks there were.
    fn stop(mut self, bed: &Bed) -> usize {
        fs::write(self.bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
        assert!(self.child.wait().expect("failed to wait").success());
        let text = fs::read_to_string(self.bundle.rootfs().join("tmp/count")).expect("no count");
        let id = self.bundle.id.clone();
        drop(self.bundle);
        bed.ended(&id);
        text.trim().parse().expect("no number")
    }
}

/// A bed with a large ring, and a file that all events go to.
fn bed() -> (Bed, PathBuf) {
    // Room for a file that a busy machine keeps from being written for a while.
    let bed = Bed::tracing("ticks").with("limits", "ring_bytes = \"32MiB\"").with_fixture("ticks");
    let bed = bed.with("limits", "history_bytes = \"64MiB\"");
    let sink = bed.path("events.ndjson");
    let bed = bed.with("events", &format!("file = \"{}\"", sink.display()));
    (bed, sink)
}

/// Each number once, in order. There are hundreds of thousands: the lines are not read as JSON, which would take a
/// machine of two gigabytes all it has.
fn assert_each_once(sink: &Path, wanted: usize) {
    let numbers = || -> Vec<usize> {
        let text = fs::read_to_string(sink).expect("failed to read");
        // What stands behind the last line's end is being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let ticks = whole.lines().filter_map(|line| line.split_once("\"tick\":{\"number\":"));
        let digits =
            |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
        ticks.map(|(_, rest)| digits(rest).unwrap_or_else(|| panic!("no number in {rest:?}"))).collect()
    };
    let numbers = wait_for("the file to have it all", || Some(numbers()).filter(|n| n.len() >= wanted));
    let wrong = numbers.iter().zip(0..).find(|(n, i)| *n != i);
    assert!(wrong.is_none() && numbers.len() == wanted, "{} of {wanted}, {wrong:?}", numbers.len());
}

/// How many ticks a second; emulated, where all else is slower by more than that, a tenth.
fn rate(here: u32) -> u32 {
    if emulated() { here / 10 } else { here }
}

fn load(bed: &Bed, object: &Path) -> Value {
    let answer = run(bed.remora(&["tracer", "load"]).arg(object));
    serde_json::from_str(&answer).expect("not JSON")
}

/// What a command that must fail says.
fn refusal(bed: &Bed, args: &[&str]) -> String {
    let output = output(&mut bed.remora(args));
    assert!(!output.status.success(), "{args:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_hundred_replacements_under_load() {
    let (mut bed, sink) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "replaced", rate(10_000));
    let mut turns = Vec::new();
    for round in 0..count(100).clamp(5, 100) {
        let placed = load(&bed, &fixture("ticks"));
        assert_eq!(placed["replaced"], true, "{placed}");
        assert_eq!(placed["fresh"], serde_json::json!([]), "round {round}: {placed}");
        turns.push(placed["turn_seconds"].as_f64().expect("a number"));
    }
    let wanted = ticking.stop(&bed);
    assert_each_once(&sink, wanted);
    let ended = bed.ended("replaced");
    let ledger = &ended["ledger"]["tracers"]["ticks"];
    let expected = (Some(wanted as u64), Some(wanted as u64));
    assert_eq!((ledger["counted"].as_u64(), ledger["delivered"].as_u64()), expected, "{ended}");
    assert_eq!(bed.metric("remora_ticks_ticks_total{"), Some(wanted as f64), "counters go on");
    turns.sort_by(f64::total_cmp);
    println!("{wanted} ticks, {} replacements; a turn took {:?} s", turns.len(), turns[turns.len() / 2]);
    bed.assert_empty();
}

/// Another object in the folder is an upgrade: it takes over from the one that the daemon before left running.
#[test]
fn an_upgrade_at_a_restart() {
    let (mut bed, sink) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "upgraded", rate(5_000));
    let object = bed.tracers_dir().join("ticks.bpf.o");
    for round in 0..3 {
        let number = bed.tracer("ticks")["number"].as_u64();
        bed.stop();
        // What stands behind an ELF file's end means nothing, and makes it another file.
        let mut bytes = fs::read(&object).expect("failed to read");
        bytes.push(b'x');
        fs::write(&object, bytes).expect("failed to write");
        bed.start();
        assert!(bed.tracer("ticks")["number"].as_u64() > number, "round {round}: the object is the old one");
    }
    let wanted = ticking.stop(&bed);
    assert_each_once(&sink, wanted);
    assert_eq!(bed.metric("remora_ticks_ticks_total{"), Some(wanted as f64), "counters go on");
    bed.assert_empty();
}

/// A daemon of another version left its programs running: they go, and who is there is traced on.
#[test]
fn another_version_leaves_nothing() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "versions", 500);
    bed.kill();
    let ours = fs::read_dir(bed.pins()).expect("no pins").flatten().next().expect("a version").path();
    let other = bed.pins().join("v1");
    fs::rename(&ours, &other).expect("failed to rename");
    assert!(!bed.links().is_empty());
    bed.start();
    assert!(!other.exists(), "{}", bed.log());
    let container = bed.container("versions").expect("it runs");
    assert!(container["ledger"]["notes"].to_string().contains("of another version"), "{container}");
    let counted = |bed: &Bed| bed.metric("remora_ticks_ticks_total{").unwrap_or_default();
    let before = counted(&bed);
    wait_for("more ticks", || (counted(&bed) > before).then_some(()));
    ticking.stop(&bed);
    // Each once: nobody else reports.
    let numbers = bed.events_of("versions").texts("tick.number");
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert!(!numbers.is_empty() && distinct.len() == numbers.len(), "{numbers:?}");
    bed.assert_empty();
}

#[test]
fn a_failing_object_leaves_the_old_one_running() {
    let (mut bed, sink) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "kept", 1_000);
    let number = bed.tracer("ticks")["number"].clone();
    let broken = fixture("broken_ticks");
    let said = refusal(&bed, &["tracer", "load", broken.to_str().expect("a path")]);
    assert!(said.contains("tick"), "{said}");
    for junk in ["junk", "\u{7f}ELF"] {
        let path = bed.path("junk.o");
        fs::write(&path, junk).expect("failed to write");
        refusal(&bed, &["tracer", "load", path.to_str().expect("a path")]);
    }
    assert_eq!(bed.tracer("ticks")["number"], number);
    let wanted = ticking.stop(&bed);
    assert_each_once(&sink, wanted);
    bed.assert_empty();
}

/// Kernel objects and memory that the daemon holds.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    descriptors: usize,
    pins: usize,
    resident: u64,
}

fn held(bed: &Bed) -> Held {
    let entries = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let statm = fs::read_to_string(format!("/proc/{}/statm", bed.pid())).expect("no daemon");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    let pins = |sub: &str| entries(&bed.pins().join("v2/tracers/ticks").join(sub).display().to_string());
    Held {
        descriptors: entries(&format!("/proc/{}/fd", bed.pid())),
        pins: pins("") + pins("links"),
        resident: pages * 4096,
    }
}

/// Whether what is held comes back to what it was.
fn assert_no_growth(bed: &Bed, before: &Held) {
    // Connections close, links are detached and old objects fade by and by.
    wait_for("the daemon to let go", || {
        let now = held(bed);
        (now.descriptors <= before.descriptors && now.pins <= before.pins).then_some(())
    });
    // Of a few rounds memory tells nothing.
    let grown = held(bed).resident.saturating_sub(before.resident);
    assert!(grown < 4 << 20 || count(1000) < 100, "grew by {grown} bytes");
}

#[test]
fn a_thousand_starts_and_stops() {
    let (mut bed, _) = bed();
    bed.start();
    let ticking = Ticking::new(&bed, "cycled", 100);
    let cycle = |tracer: &str| {
        run(&mut bed.remora(&["tracer", "stop", tracer]));
        run(&mut bed.remora(&["tracer", "start", tracer]));
    };
    (0..5).for_each(|_| cycle("ticks"));
    let before = held(&bed);
    (0..count(1000).clamp(5, 1000)).for_each(|_| cycle("ticks"));
    (0..count(50).clamp(3, 50)).for_each(|_| drop(load(&bed, &fixture("ticks"))));
    assert_no_growth(&bed, &before);
    let name = "ticks".to_owned();
    let has = bed.container("cycled").expect("it runs")["tracers"].clone();
    assert_eq!(has, serde_json::json!([name]));
    ticking.stop(&bed);
    bed.assert_empty();
}
