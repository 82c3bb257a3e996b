//! The command line and the API, as people use them.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use remora_tests::{Bed, Events, output, run};

fn traced(bed: &Bed, name: &str, trace: &str, command: &[&str]) {
    let mut args = vec!["run", "--name", name, "--trace", trace, "--"];
    args.extend(command);
    output(&mut bed.remora(&args));
    bed.ended(name);
}

#[test]
fn events_are_filtered_by_container_tracer_event_and_field() {
    let bed = Bed::new();
    traced(&bed, "alpha", "exec,file", &["cat", "/etc/hostname"]);
    traced(&bed, "beta", "exec", &["sh", "-c", "exit 3"]);
    let seen = |args: &[&str]| {
        let all = [&["events", "--replay", "--format", "json"], args].concat();
        Events::parse(&run(&mut bed.remora(&all)))
    };
    let all = seen(&[]);
    assert_eq!(seen(&["--container", "alpha"]).len() + seen(&["--container", "beta"]).len(), all.len());
    assert!(seen(&["--tracer", "file"]).texts("event.tracer").iter().all(|t| t == "file"));
    assert_eq!(seen(&["--event", "exit", "--where", "exit.code == 3"]).texts("container.name"), ["beta"]);
    assert_eq!(seen(&["--where", "exit.code != 0", "--event", "exit"]).len(), 1);
    assert_eq!(seen(&["--where", "file.path.startsWith('/etc/hostn')"]).len(), 1);
    let either = seen(&["--where", "exit.code == 3 || file.path.endsWith('name')"]);
    assert_eq!(either.texts("container.name"), ["alpha", "beta"]);
    assert_eq!(seen(&["--pod", "shop/web"]).len(), 0);
    let wrong = output(&mut bed.remora(&["events", "--replay", "--where", "exit.code = 3"]));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("line 1, column 11"), "{wrong:?}");
    assert_eq!(seen(&["-n", "2"]).len(), 2);
    let cursor = all.0[1]["event"]["cursor"].to_string();
    assert_eq!(seen(&["--after", &cursor]).len(), all.len() - 2);
    let cursors: Vec<u64> = all.0.iter().filter_map(|e| e["event"]["cursor"].as_u64()).collect();
    assert!(cursors.is_sorted_by(|a, b| a < b), "{cursors:?}");
}

#[test]
fn events_are_followed_as_they_come() {
    let bed = Bed::new();
    let mut follower = bed.remora(&["events", "--follow", "--replay", "--format", "json", "-n", "1"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().expect("failed to start");
    traced(&bed, "followed", "exec", &["true"]);
    let mut line = String::new();
    BufReader::new(follower.stdout.take().expect("stdout")).read_line(&mut line).expect("failed to read");
    assert_eq!(Events::parse(&line).texts("container.name"), ["followed"]);
    assert!(follower.wait().expect("failed to wait").success());
}

#[test]
fn the_command_s_exit_status_is_that_of_run() {
    let bed = Bed::new();
    let status = |command: &str| output(&mut bed.remora(&["run", "--", "sh", "-c", command])).status.code();
    assert_eq!(status("exit 0"), Some(0));
    assert_eq!(status("exit 42"), Some(42));
    assert_eq!(status("kill -9 $$"), Some(137));
    let missing = output(&mut bed.remora(&["run", "--", "/no/such/command"]));
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/command"));
    let unknown = output(&mut bed.remora(&["run", "--trace", "nothing", "--", "true"]));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no known tracer in nothing"));
}

#[test]
fn tracers_describe_themselves() {
    let bed = Bed::new();
    let table = run(&mut bed.remora(&["tracers"]));
    for name in ["exec", "file", "tcp"] {
        assert!(table.contains(name), "{table}");
        let one = bed.json(&format!("/v1/tracers/{name}"));
        let fields = one["events"][0]["fields"].as_array().expect("fields");
        assert!(fields.iter().all(|f| f["help"].as_str().is_some_and(|h| !h.is_empty())), "{one}");
        assert!(run(&mut bed.remora(&["tracers", name])).contains("METRIC"));
    }
}

#[test]
fn an_unknown_tracer_beside_a_known_one_is_in_the_ledger() {
    let bed = Bed::new();
    traced(&bed, "half", "exec,nonsense", &["true"]);
    let view = bed.container("half").expect("the container");
    assert_eq!(view["tracers"], serde_json::json!(["exec"]));
    assert_eq!(view["ledger"]["notes"][0], "unknown tracer nonsense");
    assert_eq!(bed.events().of_container("half").named("exec").len(), 1);
}

#[test]
fn who_asked_and_is_not_traced_is_in_the_ledger() {
    let bed = Bed::new();
    let bundle = remora_tests::Bundle::new(&bed, "refused", "nonsense", &["/bin/true"]);
    bundle.run();
    drop(bundle);
    let view = bed.container("refused").expect("the container");
    assert_eq!(view["ledger"]["notes"][0], "not traced: no known tracer in nonsense");
    assert_eq!((&view["state"], &view["ledger"]["end"][0]), (&"ended".into(), &"refused".into()));
    bed.assert_empty();
}

#[test]
fn a_container_found_running_is_late() {
    // The daemon comes after the container, and finds it in the runtime's own state.
    let cold = Bed::cold();
    let mut bundle = None;
    let root = remora_tests::runc::state_root(&cold, "found");
    let roots = format!("runtime_roots = [\"{}\"]", root.display());
    let mut bed = cold.with("scan", "at_start = true").with("scan", &roots);
    bed.write_config();
    let made = bundle.insert(remora_tests::Bundle::new(&bed, "found", "exec", &["/bin/sleep", "1000"]));
    let mut child = made.start();
    remora_tests::wait_for("the container to run", || made.pid());
    let spool = bed.path("state/spool");
    for notice in std::fs::read_dir(spool).into_iter().flatten().flatten() {
        std::fs::remove_file(notice.path()).expect("failed to remove");
    }
    bed.start();
    let view = remora_tests::wait_for("the container to be found", || bed.container("found"));
    assert_eq!(view["ledger"]["late"], "found running when the daemon started");
    made.exec(&["/bin/uname"]);
    made.delete();
    child.wait().expect("failed to wait");
    bed.ended("found");
    assert_eq!(bed.events().named("exec").texts("process.executable.path"), ["/bin/uname"]);
    bed.assert_empty();
}
