//! containerd's containers as ctr makes them: announced by the wrapper, or by their own specification.

use std::time::{Duration, Instant};

use remora_tests::{Bed, Bundle, Containerd, bed::signal, count, run, wait_for};

use super::assert_first_exec;

/// Runs until somebody ends it, once its program has been seen.
const WAITS: [&str; 3] = ["/bin/sh", "-c", "/bin/ls / >/dev/null; while true; do sleep 1; done"];
const ENDS: [&str; 3] = ["/bin/sh", "-c", "/bin/ls / >/dev/null; exit 0"];
const TRACED: [&str; 2] = ["--annotation", "io.remora.trace=exec"];

fn options<'a>(wrapper: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    wrapper.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn by_the_wrapper() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    let wrapper = containerd.wrapper();
    let names: Vec<String> = (0..count(50)).map(|n| format!("start-{n}")).collect();
    for name in &names {
        containerd.run(name, &options(&wrapper, &["--rm", TRACED[0], TRACED[1]]), &ENDS);
        containerd.run(&format!("neighbour-{name}"), &options(&wrapper, &["--rm"]), &ENDS);
    }
    for name in &names {
        let ended = bed.ended(name);
        assert_eq!(ended["ledger"].get("late"), None, "{name}: {ended}");
        assert_eq!(ended["id"], name.as_str(), "{ended}");
        assert_first_exec(&bed, name, "/bin/sh");
        let events = bed.events_of(name);
        assert_eq!((events.named("exec").len(), events.named("exit").len()), (2, 2), "{name}: {events:?}");
    }
    let strangers = bed.events().only(|e| !names.iter().any(|n| e["container"]["name"] == n.as_str()));
    assert!(strangers.is_empty(), "{strangers:?}");
    bed.assert_empty();
}

#[test]
fn by_their_own_specification() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    containerd.run_bundle(&Bundle::new(&bed, "own", "exec", &ENDS), &["--rm"]);
    containerd.run_bundle(&Bundle::new(&bed, "neighbour", "", &ENDS), &["--rm"]);
    let ended = bed.ended("own");
    assert_eq!(ended["ledger"].get("late"), None, "{ended}");
    assert_first_exec(&bed, "own", "/bin/sh");
    assert!(bed.events_of("neighbour").is_empty());
    bed.assert_empty();
}

/// The same name again is another container: it keeps the name, and its account is its own.
#[test]
fn a_restarted_one_keeps_its_name() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    let wrapper = containerd.wrapper();
    for _ in 0..2 {
        containerd.run("again", &options(&wrapper, &["--rm", TRACED[0], TRACED[1]]), &ENDS);
        bed.ended("again");
    }
    let all = bed.json("/v1/containers");
    let generations = all.as_array().expect("a list").iter().filter(|c| c["name"] == "again");
    assert_eq!(generations.count(), 2, "{all}");
}

fn start(containerd: &Containerd, name: &str) -> u32 {
    let wrapper = containerd.wrapper();
    containerd.run(name, &options(&wrapper, &["-d", TRACED[0], TRACED[1]]), &WAITS);
    containerd.init(name).expect("it runs")
}

#[test]
fn every_end_is_seen() {
    let bed = Bed::new();
    let mut containerd = Containerd::new(&bed);
    // ctr removes the cgroup with the task, plain ends leave it empty.
    signal(start(&containerd, "init-killed"), "KILL");
    bed.ended("init-killed");
    run(&mut containerd.ctr(&["tasks", "delete", "init-killed"]));
    start(&containerd, "deleted");
    run(&mut containerd.ctr(&["tasks", "delete", "--force", "deleted"]));
    bed.ended("deleted");
    signal(Containerd::shim(start(&containerd, "shim-killed")), "KILL");
    bed.ended("shim-killed");
    // Without containerd they run on, and end all the same.
    let init = start(&containerd, "orphan");
    containerd.kill();
    assert_eq!(bed.container("orphan").expect("an account")["state"], "running");
    signal(init, "KILL");
    bed.ended("orphan");
    containerd.start();
    signal(start(&containerd, "after"), "KILL");
    bed.ended("after");
    bed.assert_empty();
}

/// A containerd that does not answer is nobody else's trouble.
#[test]
fn while_it_is_stopped_others_start() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    let init = start(&containerd, "before");
    let usual = Instant::now();
    Bundle::new(&bed, "usual", "exec", &ENDS).run();
    let usual = usual.elapsed();
    containerd.signal("STOP");
    for n in 0..count(20) {
        let begun = Instant::now();
        Bundle::new(&bed, &format!("plain-{n}"), "exec", &ENDS).run();
        let took = begun.elapsed();
        assert!(took < usual * 3 + Duration::from_secs(2), "{took:?}, else {usual:?}");
        assert_first_exec(&bed, &format!("plain-{n}"), "/bin/sh");
    }
    signal(init, "KILL");
    bed.ended("before");
    containerd.signal("CONT");
    wait_for("containerd to know", || containerd.init("before").is_none().then_some(()));
    bed.assert_empty();
}
