//! Whatever is killed, removed or told twice: no event is lost or doubled, counters go on, nothing is left.

mod load;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use remora_tests::{Bed, Bundle, Podman, bed::signal, build_dir, output, run, wait_for};

/// What a daemon holds, and what it has left in folders.
#[derive(Debug, PartialEq)]
struct Traces {
    descriptors: BTreeMap<String, usize>,
    pins: Vec<PathBuf>,
    live: usize,
}

impl Traces {
    fn of(bed: &Bed) -> Self {
        let mut descriptors = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", bed.pid())).expect("no daemon").flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            // Numbers differ between sockets and pipes of the same kind.
            let kind = target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned();
            *descriptors.entry(kind).or_default() += 1;
        }
        let mut pins = Vec::new();
        files(&bed.pins(), &mut pins);
        pins.sort();
        Self { descriptors, pins, live: entries(&bed.path("state/containers")) }
    }

    /// Once the connections of earlier questions are closed.
    fn settled(bed: &Bed) -> Self {
        let mut last = Self::of(bed);
        let mut same = 0;
        wait_for("the daemon to come to rest", || {
            let now = Self::of(bed);
            same = if now == last { same + 1 } else { 0 };
            last = now;
            (same == 5).then_some(())
        });
        last
    }

    /// Whether there is nothing that was not there before.
    fn is_within(&self, before: &Self) -> bool {
        let held = |kind| before.descriptors.get(kind).copied().unwrap_or_default();
        self.pins == before.pins
            && self.live == before.live
            && self.descriptors.iter().all(|(k, n)| *n <= held(k))
    }
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

/// A bed that lets go soon.
fn quick() -> Bed {
    let mut bed =
        Bed::cold().with("tracers", "detach_after = \"100ms\"").with("limits", "series_linger = \"1s\"");
    bed.start();
    bed
}

/// Nothing but ledgers remains of the containers that were.
fn assert_clean(bed: &Bed, before: &Traces) {
    bed.assert_empty();
    wait_for("the series to be gone", || {
        let text = bed.get("/metrics");
        (!text.lines().any(|l| l.contains("container=\"") && !l.starts_with('#'))).then_some(())
    });
    let after = Traces::settled(bed);
    assert!(after.is_within(before), "left: {after:#?}\nbefore: {before:#?}");
}

/// A container that ends while no daemon runs: its account is closed by the next one.
fn ended_between(id: &str, go: fn(&mut Bed)) {
    let mut bed = quick();
    let before = Traces::settled(&bed);
    let script = "while [ ! -e /tmp/stop ]; do sleep 0.05; done; for i in 1 2 3 4 5; do /bin/true $i; done";
    let bundle = Bundle::new(&bed, id, "exec", &["/bin/sh", "-c", script]);
    let mut child = bundle.start();
    wait_for("the container to be in scope", || bed.container(id));
    go(&mut bed);
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.start();
    let ended = bed.ended(id);
    let events = bed.events().of_container(id);
    let last: Vec<_> =
        events.named("exec").texts("process.executable.path").into_iter().rev().take(5).collect();
    assert_eq!(last, ["/bin/true"; 5], "{events:?}");
    let ledger = &ended["ledger"]["tracers"]["exec"];
    assert_eq!(ledger["counted"], ledger["delivered"], "{ended}");
    assert!(ledger["counted"].as_u64() >= Some(12), "{ended}");
    assert!(ended["ledger"]["observed_to"].is_string(), "{ended}");
    assert_clean(&bed, &before);
}

#[test]
fn ended_while_killed() {
    ended_between("between-killed", Bed::kill);
}

#[test]
fn ended_while_stopped() {
    ended_between("between-stopped", Bed::stop);
}

fn sleeper(bed: &Bed, id: &str) -> (Bundle, Child) {
    let bundle = Bundle::new(bed, id, "exec", &["/bin/sh", "-c", "sleep 1000; exit 0"]);
    let child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    (bundle, child)
}

/// What a reboot does: everything that ran has gone, and so has all that is not on a disk.
#[test]
fn everything_but_the_state_has_gone() {
    let mut bed = quick();
    let before = Traces::settled(&bed);
    let (bundle, mut child) = sleeper(&bed, "before-reboot");
    bed.kill();
    signal(bundle.pid().expect("it runs"), "KILL");
    child.wait().expect("failed to wait");
    drop(bundle);
    for name in ["hook.sock", "api.sock", "ask"] {
        let _ = fs::remove_file(bed.path(name));
    }
    let pins = bed.pins();
    let left: Vec<_> = fs::read_dir(&pins).expect("no bpffs").flatten().map(|entry| entry.path()).collect();
    for path in left {
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    bed.start();
    let ended = bed.ended("before-reboot");
    assert_eq!(ended["ledger"].get("late"), None, "{ended}");
    let (bundle, mut child) = sleeper(&bed, "after-reboot");
    signal(bundle.pid().expect("it runs"), "KILL");
    child.wait().expect("failed to wait");
    drop(bundle);
    let execs = bed.events().of_container("after-reboot").named("exec");
    assert_eq!(
        execs.texts("process.executable.path").first().map(String::as_str),
        Some("/bin/sh"),
        "{ended}"
    );
    bed.ended("after-reboot");
    assert_clean(&bed, &before);
}

#[test]
fn init_killed() {
    let bed = quick();
    let before = Traces::settled(&bed);
    let (bundle, mut child) = sleeper(&bed, "init-killed");
    signal(bundle.pid().expect("it runs"), "KILL");
    child.wait().expect("failed to wait");
    drop(bundle);
    let ended = bed.ended("init-killed");
    let exits = bed.events().of_container("init-killed").named("exit");
    assert_eq!(exits.texts("exit.signal"), ["SIGKILL"; 2], "{ended} {exits:?}");
    assert_clean(&bed, &before);
}

/// Removed from outside, with a runtime that can no longer tell.
#[test]
fn cgroup_removed() {
    let bed = quick();
    let before = Traces::settled(&bed);
    let (_bundle, mut child) = sleeper(&bed, "cgroup-removed");
    child.kill().expect("failed to kill the runtime");
    child.wait().expect("failed to wait");
    let view = bed.container("cgroup-removed").expect("it is in scope");
    let dir = PathBuf::from(view["cgroup_path"].as_str().expect("a path"));
    wait_for("the cgroup to go", || {
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        // Init takes the others with it.
        members.lines().for_each(|pid| drop(output(Command::new("kill").args(["-KILL", pid]))));
        fs::remove_dir(&dir).ok()
    });
    let ended = bed.ended("cgroup-removed");
    assert!(ended["ledger"]["end"].to_string().contains("cgroup removed"), "{ended}");
    assert_clean(&bed, &before);
}

#[test]
fn podman_conmon_killed() {
    let bed = quick();
    let before = Traces::settled(&bed);
    let podman = Podman::new(&bed);
    let options = ["--detach", "--annotation", "io.remora.trace=exec"];
    podman.run(
        "orphan",
        &options,
        &["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; /bin/true; sleep 1000; exit 0"],
    );
    let id = podman.id("orphan");
    let inspect = |format: &str| run(&mut podman.command(&["inspect", "--format", format, "orphan"]));
    let pid = |format: &str| inspect(format).trim().parse::<u32>().expect("a pid");
    let (conmon, init) = (pid("{{.State.ConmonPid}}"), pid("{{.State.Pid}}"));
    signal(conmon, "KILL");
    fs::write(format!("/proc/{init}/root/tmp/go"), "").expect("failed to write");
    wait_for("an event after conmon's end", || {
        let paths = bed.events().of_container(&id).named("exec").texts("process.executable.path");
        paths.contains(&"/bin/true".to_owned()).then_some(())
    });
    // Nobody is left to call poststop or to remove the cgroup.
    signal(init, "KILL");
    bed.ended(&id);
    assert_clean(&bed, &before);
}

/// The hook by hand, as no well-behaved runtime calls it.
fn hook(bed: &Bed, stage: &str, state: &serde_json::Value) {
    let mut command = Command::new(build_dir().join("remora-hook"));
    command.args(bed.hook_args()).args(["--timeout-ms", "30000", stage]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("failed to start the hook");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(state.to_string().as_bytes()).expect("failed to write");
    drop(stdin);
    assert!(child.wait().expect("failed to wait").success());
}

#[test]
fn poststop_of_nobody_and_too_often() {
    let bed = quick();
    let before = Traces::settled(&bed);
    let state = |id: &str| {
        serde_json::json!({ "ociVersion": "1.0.2", "id": id, "status": "stopped", "bundle": "/nowhere",
            "annotations": { "io.remora.trace": "exec" } })
    };
    hook(&bed, "poststop", &state("never-was"));
    assert_eq!(bed.json("/v1/containers"), serde_json::json!([]));

    let script = "while [ ! -e /tmp/stop ]; do sleep 0.05; done; /bin/true";
    let bundle = Bundle::new(&bed, "told-twice", "exec", &["/bin/sh", "-c", script]);
    let mut child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    // Not true: it lives, and is seen to its end.
    hook(&bed, "poststop", &state("told-twice"));
    hook(&bed, "poststop", &state("told-twice"));
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    drop(bundle);
    let ended = bed.ended("told-twice");
    let last = bed.events().of_container("told-twice").named("exec");
    assert_eq!(
        last.texts("process.executable.path").last().map(String::as_str),
        Some("/bin/true"),
        "{ended}"
    );
    hook(&bed, "poststop", &state("told-twice"));
    assert_eq!(bed.json("/v1/containers").as_array().map(Vec::len), Some(1));
    assert!(fs::read_dir(bed.path("state/spool")).is_ok_and(|mut d| d.next().is_none()));
    assert_clean(&bed, &before);
}

/// Ledgers outlive their containers, the newest of them, and the daemon.
#[test]
fn ledgers_are_bounded() {
    let mut bed = Bed::cold().with("limits", "ended = 3");
    bed.start();
    for n in 0..5 {
        let id = format!("bounded-{n}");
        Bundle::new(&bed, &id, "exec", &["/bin/true"]).run();
        bed.ended(&id);
    }
    for _ in 0..2 {
        let all = bed.json("/v1/containers");
        let ids: Vec<_> = all.as_array().expect("list").iter().filter_map(|c| c["id"].as_str()).collect();
        assert_eq!(ids, ["bounded-2", "bounded-3", "bounded-4"]);
        assert_eq!(entries(&bed.path("state/ended")), 3);
        assert_eq!(entries(&bed.path("state/containers")), 0);
        bed.kill();
        bed.start();
    }
    bed.assert_empty();
}
