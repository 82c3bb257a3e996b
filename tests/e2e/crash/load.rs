//! The daemon goes and comes back while containers start and work.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use remora_tests::{Bed, Bundle, Events, count, wait_for};

/// Each program it executes has a number; how many there were is written down at the end.
const LOAD: [&str; 3] = [
    "/bin/sh",
    "-c",
    "i=0; while [ ! -e /tmp/stop ]; do /bin/true $i; i=$((i+1)); done; echo $i >/tmp/count",
];

/// A client that follows from before the first event on, over every restart.
struct Follower {
    child: Child,
    file: PathBuf,
}

impl Follower {
    fn new(bed: &Bed) -> Self {
        let file = bed.path("followed.ndjson");
        let mut command = bed.remora(&["events", "--replay", "--follow", "--format", "json"]);
        command.stdout(File::create(&file).expect("failed to create")).stderr(Stdio::inherit());
        Self { child: command.spawn().expect("failed to start the client"), file }
    }

    fn lines(&self) -> usize {
        fs::read(&self.file).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
    }

    fn more(&self, than: usize) -> usize {
        wait_for("the client to get more events", || Some(self.lines()).filter(|n| *n > than + 20))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn counter(bed: &Bed, series: &str, container: &str) -> f64 {
    let label = format!("container=\"{container}\"");
    let text = bed.get("/metrics");
    let line = text.lines().find(|l| l.starts_with(&format!("{series}{{")) && l.contains(&label));
    let line = line.unwrap_or_else(|| panic!("no {series} of {container} in\n{text}"));
    line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("no number")
}

const COUNTERS: [&str; 3] =
    ["remora_events_total", "remora_events_delivered_total", "remora_exec_execs_total"];

/// The numbers of the programs executed: each once, in order.
fn assert_whole(what: &str, events: &Events, wanted: usize) {
    let numbers: Vec<usize> = events
        .named("exec")
        .0
        .iter()
        .filter(|e| e["process"]["executable"]["path"] == "/bin/true")
        .map(|e| e["process"]["command_args"][1].as_str().and_then(|n| n.parse().ok()).expect("no number"))
        .collect();
    let wrong = numbers.iter().enumerate().find(|(i, n)| i != *n);
    assert!(wrong.is_none() && numbers.len() == wanted, "{what}: {} of {wanted}, {wrong:?}", numbers.len());
    let cursors: Vec<u64> = events.0.iter().filter_map(|e| e["event"]["cursor"].as_u64()).collect();
    assert!(cursors.windows(2).all(|w| w[0] < w[1]), "{what}: cursors do not grow");
    assert!(events.0.iter().all(|e| e.get("gap").is_none()), "{what}: a gap");
}

/// A container under load while the daemon goes and comes back several times.
fn under_load(id: &str, go: fn(&mut Bed)) {
    let mut bed =
        Bed::cold().with("limits", "ring_bytes = \"32MiB\"").with("limits", "history_bytes = \"256MiB\"");
    let sink = bed.path("events.ndjson");
    bed = bed.with("events", &format!("file = \"{}\"", sink.display()));
    bed.start();
    let follower = Follower::new(&bed);
    let bundle = Bundle::new(&bed, id, "exec", &LOAD);
    let mut child = bundle.start();
    let mut seen = follower.more(0);
    for round in 0..count(8).clamp(2, 8) {
        let before = COUNTERS.map(|series| counter(&bed, series, id));
        go(&mut bed);
        bed.start();
        let after = COUNTERS.map(|series| counter(&bed, series, id));
        let went_on = before.iter().zip(&after).all(|(b, a)| a >= b);
        assert!(went_on, "round {round}: {COUNTERS:?} went from {before:?} to {after:?}");
        seen = follower.more(seen);
    }
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    assert!(child.wait().expect("failed to wait").success());
    let text = fs::read_to_string(bundle.rootfs().join("tmp/count")).expect("no count");
    let wanted: usize = text.trim().parse().expect("no number");
    drop(bundle);

    let ended = bed.ended(id);
    let total = 2 * wanted + 2; // the shell's exec, and every exit
    let ledger = &ended["ledger"]["tracers"]["exec"];
    assert_eq!(
        (ledger["counted"].as_u64(), ledger["delivered"].as_u64()),
        (Some(total as u64), Some(total as u64)),
        "{ended}"
    );
    assert_eq!(ended["ledger"].get("late"), None, "{ended}");
    wait_for("the client to have it all", || (follower.lines() >= total).then_some(()));
    let read = |path: &Path| Events::parse(&fs::read_to_string(path).expect("failed to read"));
    assert_whole("the client", &read(&follower.file), wanted);
    wait_for("the file to have it all", || (read(&sink).len() >= total).then_some(()));
    assert_whole("the file", &read(&sink), wanted);
    assert_eq!((read(&follower.file).len(), read(&sink).len()), (total, total));
    drop(follower);
    bed.assert_empty();
}

#[test]
fn killed_under_load() {
    under_load("load-killed", Bed::kill);
}

#[test]
fn restarted_under_load() {
    under_load("load-restarted", Bed::stop);
}

/// Killed at any moment of a container's start: the container goes on, and the next daemon takes it up.
#[test]
fn killed_while_starting() {
    let mut bed = Bed::new();
    let script = "while [ ! -e /tmp/go ]; do sleep 0.05; done; /bin/uname >/dev/null";
    let mut late = 0;
    let rounds = count(40).clamp(3, 40);
    for round in 0..rounds {
        let id = format!("starting-{round}");
        let bundle = Bundle::new(&bed, &id, "exec", &["/bin/sh", "-c", script]);
        let mut child = bundle.start();
        // Not to wait for anything: to strike at another moment each time.
        std::thread::sleep(Duration::from_millis(u64::from(round * 40 / rounds)));
        bed.kill();
        wait_for("the container to run", || bundle.pid());
        bed.start();
        let found = wait_for("the container to be taken up", || bed.container(&id));
        fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
        assert!(child.wait().expect("failed to wait").success());
        drop(bundle);
        let ended = bed.ended(&id);
        let paths = bed.events().of_container(&id).named("exec").texts("process.executable.path");
        assert_eq!(paths.last().map(String::as_str), Some("/bin/uname"), "{ended}");
        if found["ledger"].get("late").is_some() {
            late += 1;
        } else {
            assert_eq!(paths[0], "/bin/sh", "not late, and its first exec was not seen: {ended} {paths:?}");
        }
        let ledger = &ended["ledger"]["tracers"]["exec"];
        assert_eq!(ledger["counted"], ledger["delivered"], "{ended}");
    }
    println!("{late} of {rounds} were taken up late");
    bed.assert_empty();
}
