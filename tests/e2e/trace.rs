//! `remora trace`: on with the command, off with it, however it ends, and nothing left of who never opted in.

use std::{
    io::Read,
    process::{Child, Stdio},
};

use remora_tests::{Bed, Bundle, Events, output, wait_for};
use serde_json::json;

const LOOP: [&str; 3] =
    ["/bin/sh", "-c", "while :; do /bin/cat /etc/passwd >/dev/null; /bin/sleep 0.1; done"];

/// A bed that finds its own bundles.
fn bed() -> Bed {
    let bed = Bed::tracing("exec,file");
    let roots = format!("runtime_roots = [\"/run/{}-*\"]", bed.name());
    let mut bed = bed.with("scan", &roots);
    bed.start();
    bed
}

fn trace(bed: &Bed, tracer: &str, container: &str, more: &[&str]) -> Child {
    let args = [&["trace", tracer, container, "--format", "json"], more].concat();
    let mut command = bed.remora(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("failed to start")
}

/// Its next event; what follows stays where it is.
fn next(child: &mut Child) -> Events {
    let (out, mut line, mut byte) = (child.stdout.as_mut().expect("stdout"), Vec::new(), [0]);
    while out.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        line.push(byte[0]);
    }
    Events::parse(&String::from_utf8_lossy(&line))
}

fn tracers(bed: &Bed, id: &str) -> serde_json::Value {
    bed.container(id).unwrap_or_else(|| panic!("no {id}"))["tracers"].clone()
}

fn wait_for_tracers(bed: &Bed, id: &str, wanted: &[&str]) {
    wait_for(&format!("{id} to have {wanted:?}"), || (tracers(bed, id) == json!(wanted)).then_some(()));
}

/// A container that goes on until it is dropped.
struct Running {
    bundle: Option<Bundle>,
    child: Child,
}

impl Running {
    fn new(bed: &Bed, id: &str, trace: &str) -> Self {
        let bundle = Bundle::new(bed, id, trace, &LOOP);
        let child = bundle.start();
        wait_for("the container to run", || bundle.pid());
        Self { bundle: Some(bundle), child }
    }

    fn is_there(&self) -> bool {
        self.bundle.as_ref().is_some_and(|bundle| bundle.pid().is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.bundle.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_tracer_is_on_for_as_long_as_somebody_looks() {
    let bed = bed();
    let bundle = Running::new(&bed, "held", "exec");
    let ended = output(&mut bed.remora(&["trace", "file", "held", "-n", "3", "--format", "json"]));
    assert!(ended.status.success(), "{ended:?}");
    let events = Events::parse(&String::from_utf8_lossy(&ended.stdout));
    assert_eq!(events.texts("event.tracer"), ["file", "file", "file"]);
    assert_eq!(events.texts("container.id"), ["held", "held", "held"]);
    wait_for_tracers(&bed, "held", &["exec"]);
    // Two look; the first to be killed takes nothing from the second.
    let (mut one, mut two) = (trace(&bed, "file", "held", &[]), trace(&bed, "file", "held", &[]));
    assert_eq!((next(&mut one).len(), next(&mut two).len()), (1, 1));
    one.kill().expect("failed to kill");
    one.wait().expect("failed to wait");
    assert_eq!(next(&mut two).len(), 1);
    assert_eq!(tracers(&bed, "held"), json!(["exec", "file"]));
    two.kill().expect("failed to kill");
    two.wait().expect("failed to wait");
    wait_for_tracers(&bed, "held", &["exec"]);
    // What it has anyway stays.
    let mut own = trace(&bed, "exec", "held", &[]);
    assert_eq!(next(&mut own).len(), 1);
    own.kill().expect("failed to kill");
    own.wait().expect("failed to wait");
    let mut last = trace(&bed, "file", "held", &[]);
    assert_eq!(next(&mut last).len(), 1);
    assert_eq!(tracers(&bed, "held"), json!(["exec", "file"]));
    drop(bundle);
    assert!(last.wait().expect("failed to wait").success(), "its end is no failure");
    bed.ended("held");
    bed.assert_empty();
}

#[test]
fn off_means_off_and_ends_the_command() {
    let bed = bed();
    let bundle = Running::new(&bed, "off", "exec");
    let mut child = trace(&bed, "file", "off", &[]);
    next(&mut child);
    remora_tests::run(&mut bed.remora(&["tracer", "off", "file", "off"]));
    assert!(child.wait().expect("failed to wait").success());
    assert_eq!(tracers(&bed, "off"), json!(["exec"]));
    drop(bundle);
    bed.ended("off");
    bed.assert_empty();
}

#[test]
fn one_that_never_opted_in_is_in_scope_for_as_long() {
    let bed = bed();
    let bundle = Running::new(&bed, "stranger", "");
    assert!(bed.container("stranger").is_none());
    let mut child = trace(&bed, "exec", "stranger", &[]);
    assert_eq!(next(&mut child).texts("container.id"), ["stranger"]);
    let view = bed.container("stranger").expect("in scope");
    assert_eq!(view["ledger"]["late"], "traced by request while it ran", "{view}");
    child.kill().expect("failed to kill");
    child.wait().expect("failed to wait");
    let ended = bed.ended("stranger");
    assert_eq!(ended["ledger"]["end"], json!(["let go"]), "{ended}");
    let counts = &ended["ledger"]["tracers"]["exec"];
    assert_eq!(counts["counted"], counts["delivered"], "{ended}");
    bed.assert_empty();
    // Again, and right after that once more.
    for _ in 0..2 {
        let ended = output(&mut bed.remora(&["trace", "exec", "stranger", "-n", "1", "--format", "json"]));
        assert!(ended.status.success(), "{ended:?}");
    }
    bed.assert_empty();
    let none = output(&mut bed.remora(&["trace", "exec", "nobody"]));
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no container nobody"), "{none:?}");
    let odd = output(&mut bed.remora(&["trace", "nonsense", "stranger"]));
    assert!(String::from_utf8_lossy(&odd.stderr).contains("no tracer nonsense"), "{odd:?}");
    assert!(bundle.is_there(), "it still runs");
    bed.assert_empty();
}

#[test]
fn nothing_is_left_when_the_daemon_is_killed_meanwhile() {
    let mut bed = bed();
    let (own, stranger) = (Running::new(&bed, "own", "exec"), Running::new(&bed, "stranger", ""));
    let mut children = [trace(&bed, "file", "own", &[]), trace(&bed, "file", "stranger", &[])];
    children.iter_mut().for_each(|child| assert_eq!(next(child).len(), 1));
    bed.kill();
    children.iter_mut().for_each(|child| assert!(!child.wait().expect("failed to wait").success()));
    bed.start();
    wait_for_tracers(&bed, "own", &["exec"]);
    assert_eq!(bed.ended("stranger")["ledger"]["end"], json!(["let go"]));
    drop((own, stranger));
    bed.ended("own");
    bed.assert_empty();
}
