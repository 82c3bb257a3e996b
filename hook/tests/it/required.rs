//! Containers that must not run untraced: anything but a good answer ends their start, with a sentence that
//! a person understands.

use crate::rig::{BUDGET, HOOK, Rig, SLACK};
use serde_json::json;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

fn required(rig: &Rig) -> String {
    rig.state(json!({ "io.remora.required": "true" }))
}

fn expect_refused(rig: &Rig, budget: Duration, state: &str, why: &str) {
    for stage in ["createRuntime", "prestart"] {
        let outcome = rig.run_within(budget, stage, state);
        assert_eq!(outcome.code, Some(1), "{}", rig.log());
        assert!(outcome.took < budget + SLACK);
        let stderr = outcome.stderr;
        for part in ["remora-hook: container c1 was not started", why, "systemctl status remora"] {
            assert!(stderr.contains(part), "{part} is not in {stderr}");
        }
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(rig.log().contains(why));
    assert!(rig.spooled().is_empty());
}

#[test]
fn a_good_answer_starts_it() {
    let rig = Rig::new();
    let _notices = rig.acking(true, "");
    let outcome = rig.run("createRuntime", &required(&rig));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn anything_else_does_not() {
    let rig = Rig::new();
    expect_refused(&rig, SLACK, &required(&rig), "failed to connect to");

    let rig = Rig::new();
    let _notices = rig.acking(false, "no such tracer");
    expect_refused(&rig, SLACK, &required(&rig), "the daemon refused it: no such tracer");

    let rig = Rig::new();
    let _notices = rig.daemon(drop);
    expect_refused(&rig, SLACK, &required(&rig), "hung up");

    let rig = Rig::new();
    let _deaf = UnixListener::bind(rig.socket()).unwrap();
    expect_refused(&rig, BUDGET, &required(&rig), "no time left");
}

#[test]
fn nor_does_a_state_that_cannot_be_registered() {
    let rig = Rig::new();
    let _notices = rig.acking(true, "");
    for (from, to, why) in [
        ("\"creating\"", "\"running\"", "too late"),
        (&format!("\"pid\":{}", std::process::id()), "\"pid\":1", "no pid"),
    ] {
        let state = required(&rig).replace(from, to);
        assert!(state.contains(to), "{state}");
        expect_refused(&rig, SLACK, &state, why);
    }
}

#[test]
fn its_end_is_never_held_up() {
    let rig = Rig::new();
    let state = required(&rig).replace("creating", "stopped");
    assert_eq!(rig.run("poststop", &state).code, Some(0));
    assert_eq!(rig.spooled().len(), 1);
}

#[test]
fn any_other_value_does_not_require() {
    let rig = Rig::new();
    let state = rig.state(json!({ "io.remora.required": "false" }));
    assert_eq!(rig.run("createRuntime", &state).code, Some(0));
}

#[test]
fn a_hostile_id_reaches_stderr_and_log_escaped() {
    let rig = Rig::new();
    let state = required(&rig).replace("\"c1\"", r#""c1\n\u001b[31m\u0000\u202e""#);
    let outcome = rig.run("createRuntime", &state);
    assert_eq!(outcome.code, Some(1));
    for text in [outcome.stderr, rig.log()] {
        assert!(text.contains(r"c1\n\u{1b}[31m\0\u{202e}"), "{text:?}");
        assert_eq!(text.lines().count(), 1, "{text:?}");
    }
}

#[test]
fn a_stderr_that_nobody_reads_changes_nothing() {
    let rig = Rig::new();
    std::fs::write(rig.path("state"), required(&rig)).unwrap();
    let state = std::fs::File::open(rig.path("state")).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = rig.hook(SLACK).stdin(state).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));

    let line = format!("exec {HOOK} --log {} --socket /none <&- >&- 2>&-", rig.path("log").display());
    let status = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
