//! On and off: for all, for one container, over restarts; objects added and removed; and who may do it.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use remora_tests::{Bed, Bundle, build_dir, fixture, output, run, wait_for};
use serde_json::json;

use super::{Ticking, bed, load, refusal};

fn count_of(bed: &Bed, id: &str) -> u64 {
    let container = bed.container(id).expect("it runs");
    container["ledger"]["tracers"]["ticks"]["counted"].as_u64().unwrap_or(0)
}

fn wait_for_more(bed: &Bed, id: &str) {
    let before = count_of(bed, id);
    wait_for("more ticks", || (count_of(bed, id) > before).then_some(()));
}

/// Two looks at the count, ticks being made between them.
fn assert_silent(bed: &Bed, id: &str, other: &str) {
    let before = count_of(bed, id);
    (0..3).for_each(|_| wait_for_more(bed, other));
    assert_eq!(count_of(bed, id), before, "{id} is still traced");
}

#[test]
fn for_one_container() {
    let (mut bed, _) = bed();
    bed.start();
    let (one, two) = (Ticking::new(&bed, "one", 200), Ticking::new(&bed, "two", 200));
    wait_for_more(&bed, "one");
    run(&mut bed.remora(&["tracer", "off", "ticks", "one"]));
    assert_eq!(bed.container("one").expect("it runs")["tracers"], json!([]));
    assert_silent(&bed, "one", "two");
    bed.kill();
    bed.start();
    assert_silent(&bed, "one", "two");
    run(&mut bed.remora(&["tracer", "on", "ticks", "one", "word=again"]));
    wait_for_more(&bed, "one");
    wait_for("the word", || {
        bed.events_of("one").texts("tick.word").iter().any(|w| w == "again").then_some(())
    });
    one.stop(&bed);
    two.stop(&bed);
    let ended = bed.ended("one");
    let changes: Vec<_> = ended["ledger"]["changes"].as_array().expect("changes").iter().collect();
    let words: Vec<_> = changes.iter().map(|c| c["change"].as_str().expect("a word")).collect();
    assert_eq!(words, ["off", "on"], "{ended}");
    let counts = &ended["ledger"]["tracers"]["ticks"];
    assert_eq!(counts["counted"], counts["delivered"], "{ended}");
    bed.assert_empty();
}

#[test]
fn for_all_and_over_a_restart() {
    let (mut bed, _) = bed();
    bed.start();
    let one = Ticking::new(&bed, "stopped", 200);
    wait_for_more(&bed, "stopped");
    run(&mut bed.remora(&["tracer", "stop", "ticks"]));
    let tracer = bed.tracer("ticks");
    assert_eq!((&tracer["state"], &tracer["stopped"]), (&json!("stopped"), &json!("by request")));
    wait_for("its links to go", || {
        let left = bed.links().into_iter().filter(|l| l.display().to_string().contains("tracers/ticks"));
        (left.count() == 0).then_some(())
    });
    bed.stop();
    bed.start();
    assert_eq!(bed.tracer("ticks")["state"], "stopped");
    let before = count_of(&bed, "stopped");
    // Who comes meanwhile is told, and gets it when it is started.
    let two = Ticking::new(&bed, "meanwhile", 200);
    let notes = bed.container("meanwhile").expect("it runs")["ledger"]["notes"].to_string();
    assert!(notes.contains("ticks is stopped"), "{notes}");
    assert_eq!(count_of(&bed, "stopped"), before);
    run(&mut bed.remora(&["tracer", "start", "ticks"]));
    wait_for_more(&bed, "stopped");
    wait_for_more(&bed, "meanwhile");
    one.stop(&bed);
    two.stop(&bed);
    bed.assert_empty();
}

#[test]
fn objects_come_and_go() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    // Opted in by a name that nobody has yet.
    let bundle =
        Bundle::new(&bed, "early", "exec,ticks", &["/bin/act", "ticks", "200", "/tmp/stop"]).with_act();
    let mut child = bundle.start();
    let early = wait_for("the container", || bed.container("early"));
    assert!(early["ledger"]["notes"].to_string().contains("unknown tracer ticks"), "{early}");
    assert_eq!(load(&bed, &fixture("ticks"))["replaced"], false);
    wait_for_more(&bed, "early");
    bed.stop();
    bed.start();
    wait_for_more(&bed, "early");
    let removed = run(&mut bed.remora(&["tracer", "remove", "ticks"]));
    assert!(removed.contains("\"gone\":true"), "{removed}");
    assert_eq!(bed.container("early").expect("it runs")["tracers"], json!(["exec"]));
    assert!(refusal(&bed, &["tracer", "remove", "ticks"]).contains("no tracer ticks"));
    assert!(refusal(&bed, &["tracer", "remove", "exec"]).contains("it can be stopped, not removed"));
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("early");
    bed.assert_empty();
}

#[test]
fn what_is_removed_uncovers_what_was_there() {
    let (mut bed, _) = bed();
    bed.start();
    let origin = bed.tracer("ticks")["origin"].clone();
    let ticking = Ticking::new(&bed, "uncovered", 200);
    load(&bed, &fixture("ticks"));
    assert_ne!(bed.tracer("ticks")["origin"], origin);
    let removed = run(&mut bed.remora(&["tracer", "remove", "ticks"]));
    assert!(removed.contains("\"gone\":false"), "{removed}");
    assert_eq!(bed.tracer("ticks")["origin"], origin);
    wait_for_more(&bed, "uncovered");
    ticking.stop(&bed);
    bed.assert_empty();
}

/// The group may read; root alone may change.
#[test]
fn only_root_changes_anything() {
    let bed = Bed::new();
    let socket = bed.path("api.sock");
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("failed to change a mode");
    };
    open(&bed.path(""), 0o755);
    open(&socket, 0o666);
    let binary = bed.path("remora");
    fs::copy(build_dir().join("remora"), &binary).expect("failed to copy");
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
        output(command.arg("--api-socket").arg(&socket).args(args))
    };
    assert!(as_nobody(&["tracers"]).status.success());
    for args in [["tracer", "stop", "exec"], ["tracer", "start", "exec"], ["tracer", "remove", "exec"]] {
        let said = as_nobody(&args);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && text.contains("only root may change anything"), "{args:?}: {text}");
    }
    assert_ne!(bed.tracer("exec")["state"], "stopped");
}
