//! What a runtime may write to the hook's input, and what is done about containers that did not opt in.

use crate::rig::{BUDGET, HOOK, Rig, SLACK, finish, run};
use remora_wire::Stage;
use serde_json::{Value, json};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs the hook and makes sure that it touched nothing at all.
fn expect_untouched(rig: &Rig, state: &str) {
    let listener = UnixListener::bind(rig.socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let outcome = run(rig.hook(SLACK).args(["--unknown", "createRuntime"]), state.as_bytes());
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!rig.path("log").exists() && !rig.path("spool").exists());
}

#[test]
fn a_container_that_did_not_opt_in_costs_nothing() {
    for annotations in [json!({}), json!({ "io.remora.required": "true", "io.remora.tracer": "x" })] {
        let rig = Rig::new();
        // Its configuration is not even read: it would say otherwise.
        rig.config(json!({ "annotations": { "io.remora.trace": "exec" } }));
        let state = json!({ "id": "c1", "status": "creating", "pid": 42, "bundle": rig.path(""), "annotations": annotations });
        expect_untouched(&rig, &state.to_string());
    }
}

#[test]
fn while_others_may_be_wanted_the_daemon_is_asked_about_everybody() {
    for annotations in [json!({ "io.remora.required": "true", "other": "x" }), json!(null)] {
        for ok in [true, false] {
            let rig = Rig::new();
            rig.config(json!({ "annotations": { "io.remora.required": "true", "other": "x" } }));
            fs::write(rig.path("ask"), "").unwrap();
            let notices = rig.acking(ok, "in scope for exec");
            let state = json!({ "id": "c1", "status": "creating", "pid": std::process::id(), "bundle": rig.path(""), "annotations": annotations });
            let outcome = rig.run("createRuntime", &state.to_string());
            assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
            let notice = notices.recv().unwrap();
            assert_eq!((notice.id.as_str(), notice.pid), ("c1", Some(std::process::id())));
            assert_eq!(notice.annotations.get("other").map(String::as_str), Some("x"));
            assert_eq!(rig.log().contains("registered container c1"), ok);
            assert_eq!(rig.log().lines().count(), usize::from(ok));
        }
    }
}

#[test]
fn of_a_container_that_may_be_wanted_nothing_is_left_behind() {
    let rig = Rig::new();
    fs::write(rig.path("ask"), "").unwrap();
    let state = json!({ "id": "c1", "status": "creating", "pid": 42, "bundle": "/b", "annotations": {} });
    let nobody = rig.run("createRuntime", &state.to_string());
    let _deaf = UnixListener::bind(rig.socket()).unwrap();
    let deaf = rig.run_within(BUDGET, "createRuntime", &state.to_string());
    assert_eq!((nobody.code, deaf.code), (Some(0), Some(0)));
    assert!(deaf.took >= BUDGET && deaf.took < SLACK, "{:?}", deaf.took);
    assert!(!rig.path("log").exists() && !rig.path("spool").exists());
}

#[test]
fn a_state_without_annotations_is_judged_by_the_bundle() {
    let state = |rig: &Rig| {
        let pid = std::process::id();
        json!({ "id": "c1", "status": "created", "pid": pid, "bundle": rig.path(""), "annotations": null })
            .to_string()
    };
    let rig = Rig::new();
    rig.config(json!({ "annotations": { "other": "x" } }));
    expect_untouched(&rig, &state(&rig));

    let rig = Rig::new();
    rig.config(json!({ "root": { "path": "fs" }, "annotations": { "io.remora.trace/web": "tcp" } }));
    let notices = rig.acking(true, "");
    assert_eq!(rig.run("createRuntime", &state(&rig)).code, Some(0));
    let notice = notices.recv().unwrap();
    assert_eq!(notice.annotations.get("io.remora.trace/web").map(String::as_str), Some("tcp"));
    assert_eq!(notice.root, rig.path("fs").to_str().unwrap());
}

#[test]
fn a_bundle_that_cannot_be_read_is_told_at_the_start_and_expected_at_the_end() {
    for (bundle, why) in
        [("/none", "No such file"), ("relative", "no absolute bundle"), ("", "no absolute bundle")]
    {
        let rig = Rig::new();
        let state = json!({ "id": "c1", "status": "creating", "pid": 42, "bundle": bundle }).to_string();
        assert_eq!(rig.run("poststop", &state).code, Some(0));
        assert_eq!(rig.log(), "");
        assert_eq!(rig.run("createRuntime", &state).code, Some(0));
        assert!(rig.log().contains(why), "{}", rig.log());
        assert!(!rig.path("spool").exists());
    }
}

#[test]
fn without_an_argument_the_status_tells_the_stage() {
    for (status, stage) in [
        ("creating", Some(Stage::CreateRuntime)),
        ("created", Some(Stage::CreateRuntime)),
        ("stopped", Some(Stage::Poststop)),
        ("running", None),
    ] {
        let rig = Rig::new();
        let notices = rig.acking(true, "");
        let state = rig.state(json!({})).replace("creating", status);
        assert_eq!(run(&mut rig.hook(SLACK), state.as_bytes()).code, Some(0));
        assert_eq!(notices.try_recv().ok().map(|notice| notice.stage), stage);
        assert_eq!(rig.log().contains("no stage of ours"), stage.is_none());
    }
}

#[test]
fn the_root_that_crun_tells_is_taken() {
    let rig = Rig::new();
    let notices = rig.acking(true, "");
    let mut state: Value = serde_json::from_str(&rig.state(json!({}))).unwrap();
    state["root"] = "/var/lib/merged".into();
    assert_eq!(rig.run("createRuntime", &state.to_string()).code, Some(0));
    assert_eq!(notices.recv().unwrap().root, "/var/lib/merged");
    assert_eq!(rig.log(), "");
}

#[test]
fn annotations_that_do_not_fit_are_left_out_and_it_is_said() {
    let rig = Rig::new();
    let notices = rig.acking(true, "");
    let state = rig.state(json!({ "io.kubernetes.pod.name": "p", "kubectl": "x".repeat(300 << 10) }));
    assert_eq!(rig.run("createRuntime", &state).code, Some(0));
    let notice = notices.recv().unwrap();
    assert!(notice.truncated);
    assert_eq!(notice.annotations.keys().collect::<Vec<_>>(), ["io.kubernetes.pod.name", "io.remora.trace"]);
}

#[test]
fn an_endless_state_is_cut_off() {
    let rig = Rig::new();
    let outcome = run(&mut rig.hook(SLACK), &vec![b' '; 2 << 20]);
    assert_eq!(outcome.code, Some(0));
    assert!(rig.log().contains("larger than 1048576 bytes"), "{}", rig.log());
}

#[test]
fn an_input_that_stays_open_ends_with_the_budget() {
    for (input, required, code) in
        [("", false, 0), ("{\"id\"", false, 0), ("whole", false, 0), ("whole", true, 1)]
    {
        let rig = Rig::new();
        let state = rig.state(json!({ "io.remora.required": required.to_string() }));
        let start = Instant::now();
        let mut child = rig.hook(BUDGET).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(if input == "whole" { state.as_bytes() } else { input.as_bytes() }).unwrap();
        let outcome = finish(child, start);
        drop(stdin);
        assert_eq!(outcome.code, Some(code), "{input}");
        assert!(outcome.took >= BUDGET && outcome.took < SLACK, "{:?}", outcome.took);
        // What came may be whole, and then the hole is on record.
        assert_eq!(rig.spooled().len(), usize::from(input == "whole" && !required), "{}", rig.log());
    }
}

#[test]
fn unreadable_states_never_stop_a_container() {
    let rig = Rig::new();
    let state = rig.state(json!({}));
    let mut inputs: Vec<Vec<u8>> = vec![vec![], b"\0".to_vec(), b"null".to_vec(), vec![0xff; 5000]];
    inputs.extend((1..24).map(|i| state.as_bytes()[..state.len() * i / 24].to_vec()));
    inputs.extend((0..24).map(|i| {
        let mut bytes = state.clone().into_bytes();
        let at = i * 7919 % bytes.len();
        bytes[at] = bytes[at].wrapping_add((i as u8).wrapping_mul(37) | 1);
        bytes
    }));
    for input in inputs {
        let outcome = run(&mut rig.hook(SLACK), &input);
        let shown = String::from_utf8_lossy(&input);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{shown}");
    }
    assert!(rig.log().lines().all(|line| !line.contains(char::is_control)));
}

#[test]
fn help_and_version_need_no_input() {
    for (option, word) in [("--help", "Usage: remora-hook"), ("--version", "remora-hook ")] {
        let output = Command::new(HOOK).arg(option).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains(word));
    }
}

#[test]
fn what_is_unknown_on_the_command_line_is_logged_for_those_who_opted_in() {
    let rig = Rig::new();
    let _notices = rig.acking(true, "");
    let state = rig.state(json!({}));
    let outcome = run(rig.hook(SLACK).args(["--tarce", "createruntime"]), state.as_bytes());
    assert_eq!(outcome.code, Some(0));
    let log = fs::read_to_string(rig.path("log")).unwrap();
    assert!(
        log.contains("unknown option --tarce") && log.contains("unknown argument createruntime"),
        "{log}"
    );
}
