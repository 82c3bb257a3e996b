//! What may not be attached, by whom, and under which name.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
};

use remora_tests::{Bed, Bundle, Cgroup, build_dir, output, run, wait_for};
use serde_json::{Value, json};

use super::{attach, detach};

/// The problem's detail.
fn refused(bed: &Bed, method: &str, target: &str, body: &str, status: u16) -> String {
    let answer: Value = serde_json::from_str(&bed.send(method, target, body)).expect("not JSON");
    assert_eq!(answer["status"], status, "{method} {target} {body}: {answer}");
    answer["detail"].as_str().expect("no detail").to_owned()
}

#[test]
fn what_would_trace_more_than_was_meant() {
    let bed = Bed::new();
    let own = fs::read_to_string(format!("/proc/{}/cgroup", bed.pid())).expect("no cgroup");
    let own = own.lines().find_map(|l| l.strip_prefix("0::")).expect("no v2 line");
    for body in [json!({ "cgroup": "/" }), json!({ "cgroup": own }), json!({ "pid": bed.pid() })] {
        let why = refused(&bed, "POST", "/v1/containers", &body.to_string(), 422);
        assert!(why.contains("failed to admit the cgroup"), "{why}");
    }
    assert!(bed.links().is_empty());
}

#[test]
fn what_means_nothing() {
    let bed = Bed::new();
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    let path = group.relative();
    let cases = [
        (json!({}), 422, "one of unit, pid and cgroup"),
        (json!({ "unit": "a", "pid": 1 }), 422, "one of unit, pid and cgroup"),
        (json!({ "unit": "../etc" }), 422, "cannot be a unit"),
        (json!({ "unit": "getty@.service" }), 422, "template"),
        (json!({ "pid": 4_000_000 }), 404, "4000000"),
        (json!({ "pid": -1 }), 400, "JSON"),
        (json!({ "cgroup": "/no/such" }), 404, "/no/such"),
        (json!({ "cgroup": "/a/../b" }), 404, "without .."),
        (json!({ "cgroup": format!("{path}/cgroup.procs") }), 404, "cgroup.procs"),
        (json!({ "cgroup": path, "trace": "exec,nonsense" }), 422, "nonsense"),
        (json!({ "cgroup": path, "trace": "" }), 422, "no tracer"),
        (json!({ "cgroup": path, "name": "a\nb" }), 422, "printable"),
        (json!({ "cgroup": path, "params": { "exec": { "nonsense": 1 } } }), 422, "nonsense"),
        (json!({ "cgroup": path, "params": { "nonsense": {} } }), 404, "nonsense"),
        (json!({ "cgroup": path, "tracers": "exec" }), 400, "tracers"),
        (json!({ "cgroup": "x".repeat(70_000) }), 413, "length limit"),
    ];
    for (body, status, words) in cases {
        let why = refused(&bed, "POST", "/v1/containers", &body.to_string(), status);
        assert!(why.contains(words), "{body}: {why}");
    }
    assert!(refused(&bed, "DELETE", "/v1/containers/nobody", "", 404).contains("nobody"));
    let failed = output(&mut bed.remora(&["attach", "--param", "exec=1", "--cgroup", &path]));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("TRACER.NAME=VALUE"), "{failed:?}");
    assert_eq!(bed.json("/v1/containers"), json!([]), "nothing is half attached");
}

#[test]
fn what_is_in_scope_already() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    let below = Cgroup::new(Some(&group), "below");
    attach(&bed, &["--cgroup", &group.relative(), "--name", "one", "--trace", "exec"]);
    let of = |path: &str, name: &str| json!({ "cgroup": path, "name": name, "trace": "exec" }).to_string();
    for (path, name, words) in [
        (group.relative(), "two", "is in scope already"),
        (below.relative(), "two", "or within it"),
        (below.relative(), "one", "one (/"),
    ] {
        let why = refused(&bed, "POST", "/v1/containers", &of(&path, name), 409);
        assert!(why.contains(words), "{why}");
    }
    attach(&bed, &["--unit", "remora-none.service", "--trace", "exec"]);
    let twice = json!({ "unit": "remora-none", "name": "other" }).to_string();
    assert!(refused(&bed, "POST", "/v1/containers", &twice, 409).contains("remora-none.service"));
    detach(&bed, "remora-none.service");
    detach(&bed, "one");
    assert!(refused(&bed, "DELETE", "/v1/containers/one", "", 404).contains("one"));

    let bundle = Bundle::new(&bed, "opted", "exec", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    let why = refused(&bed, "DELETE", "/v1/containers/opted", "", 409);
    assert!(why.contains("opted in by itself"), "{why}");
    drop(bundle);
    let _ = child.wait();
    bed.ended("opted");
    bed.assert_empty();
}

#[test]
fn anybody_but_root() {
    let bed = Bed::new();
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
    fs::set_permissions(bed.path("api.sock"), fs::Permissions::from_mode(0o666)).expect("failed to chmod");
    let ask = |method: &str, target: &str, body: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--unix-socket"])
            .arg(bed.path("api.sock"))
            .args(["-X", method, "--data", body]);
        run(curl.arg(format!("http://remora{target}")).uid(65534).gid(65534))
    };
    for (method, target) in [("POST", "/v1/containers"), ("DELETE", "/v1/containers/x")] {
        let answer = ask(method, target, &json!({ "cgroup": group.relative() }).to_string());
        assert!(answer.contains("only root may change anything"), "{answer}");
    }
    assert_eq!(bed.json("/v1/containers"), json!([]));
}

#[test]
fn a_user_who_speaks_with_somebody_elses_id() {
    let mut bed = Bed::tracing("exec").with("hook", "rootless = true");
    bed.start();
    fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
    fs::copy(build_dir().join("remora-hook"), bed.path("remora-hook")).expect("failed to copy");
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    attach(&bed, &["--cgroup", &group.relative(), "--trace", "exec"]);
    let users = Cgroup::new(None, &format!("{}-users", bed.name()));
    let mut sleeper = users.command(&["setpriv", "--reuid", "65534", "--clear-groups", "/bin/sleep", "1000"]);
    let mut sleeper = sleeper.spawn().expect("failed to start");
    wait_for("its user to be another", || {
        let status = fs::read_to_string(format!("/proc/{}/status", sleeper.id())).ok()?;
        status.contains("Uid:\t65534").then_some(())
    });
    let state = json!({ "ociVersion": "1.0.2", "id": group.relative(), "status": "created", "pid": sleeper.id(),
        "bundle": "/nowhere", "annotations": { "io.remora.trace": "exec" } });
    let file = bed.path("state.json");
    fs::write(&file, state.to_string()).expect("failed to write");
    let mut hook = Command::new(bed.path("remora-hook"));
    hook.args(bed.hook_args()).arg("createRuntime").uid(65534).gid(65534).current_dir("/");
    run(hook.stdin(fs::File::open(&file).expect("no file")));
    let log = bed.log();
    assert!(log.contains("user 65534 may not register process"), "{log}");
    let view = bed.container(&group.relative().replace('/', "%2F")).expect("no container");
    assert_eq!((&view["state"], view["cgroup_id"].as_u64()), (&"running".into(), Some(group.id())));
    sleeper.kill().expect("failed to kill");
    sleeper.wait().expect("failed to wait");
    group.remove();
    bed.assert_empty();
}
