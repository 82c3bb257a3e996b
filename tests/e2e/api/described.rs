//! The description of the API against what the daemon does.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::{Child, Command},
};

use remora_tests::{Bed, Bundle, fixture, output, run, source, wait_for};
use serde_json::Value;

use super::head;

/// A container that does something for as long as it is let, and what it is followed with.
fn web(bed: &Bed) -> (Bundle, Child) {
    let script =
        "while [ ! -e /tmp/stop ]; do /bin/true; : </etc/passwd; nc -w 1 127.0.0.1 1; sleep 0.2; done";
    let bundle = Bundle::new(bed, "web", "exec,file,flow,profile", &["/bin/sh", "-c", script]);
    let child = bundle.start();
    wait_for("the container's events", || (!bed.events_of("web").is_empty()).then_some(()));
    wait_for("its stacks", || (!bed.get("/v1/containers/web/stacks?format=folded").is_empty()).then_some(()));
    (bundle, child)
}

fn done((bundle, mut child): (Bundle, Child)) {
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    child.wait().expect("failed to wait");
}

fn methods(item: &Value) -> BTreeSet<String> {
    let all = item.as_object().expect("operations").keys().filter(|k| *k != "parameters");
    let mut all: BTreeSet<String> = all.map(|m| m.to_uppercase()).collect();
    // As for every resource that is read.
    if all.contains("GET") {
        all.insert("HEAD".into());
    }
    all
}

#[test]
fn each_method_is_described_and_each_described_one_is_there() {
    let bed = Bed::new();
    let document = bed.json("/v1/openapi.json");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let mut stream = UnixStream::connect(bed.path("api.sock")).expect("failed to connect");
        let path = path.replace(['{', '}'], "");
        write!(stream, "BREW {path} HTTP/1.0\r\n\r\n").expect("failed to ask");
        let head = head(&mut stream);
        assert!(head.starts_with("HTTP/1.0 405"), "{path}: {head}");
        let allow = head.lines().find_map(|l| l.strip_prefix("allow: ")).unwrap_or_else(|| panic!("{head}"));
        let allow: BTreeSet<String> = allow.split(',').map(|m| m.trim().to_owned()).collect();
        assert_eq!(allow, methods(item), "{path}");
        let mut body = String::new();
        stream.read_to_string(&mut body).expect("failed to read");
        assert!(body.contains("\"status\":405"), "{body}");
    }
}

const PROFILE: &str = "/v1/profiles/localhost%2Fnginx@sha256:1f0a";

/// The id of an incident, and the profile that the examples speak of.
fn alerting(bed: &Bed) -> (String, String) {
    let bundle =
        Bundle::new(bed, "odd", "exec", &["/bin/sh", "-c", "cp /bin/busybox /tmp/new; /tmp/new true"]);
    bundle.start().wait().expect("failed to wait");
    let id =
        wait_for("an incident", || bed.json("/v1/alerts?container=odd")[0]["id"].as_str().map(str::to_owned));
    let profile = "remora-profile: 1\nimage: localhost/nginx\ndigest: sha256:1f0a\nphases: {}\n";
    (id, profile.to_owned())
}

#[test]
fn the_examples_are_run() {
    let mut bed = Bed::cold();
    let rule = "rules:\n  - id: brought\n    summary: it was brought\n    description: for the test\n    \
                condition: event.name == \"exec\" && process.executable.path == \"/tmp/new\"\n    severity: critical\n";
    fs::create_dir(bed.path("rules.d")).expect("failed to make a folder");
    fs::write(bed.path("rules.d/test.yaml"), rule).expect("failed to write");
    bed.start();
    let web = web(&bed);
    let (incident, profile) = alerting(&bed);
    fs::copy(fixture("ticks"), bed.path("ticks.bpf.o")).expect("no object");
    let page = fs::read_to_string(source("docs/api.md")).expect("no docs/api.md");
    let mut blocks = page.split("```sh\n").skip(1).map(|b| b.split("```").next().expect("an end"));
    let socket = bed.path("api.sock").display().to_string();
    let mut count = 0;
    for block in blocks.by_ref() {
        let command = block.replace("/run/remora/api.sock", &socket);
        assert_ne!(command, block, "it asks somebody else");
        let command = command.replace("i-4f1c2a7b90de", &incident);
        // One before it may have taken it away.
        fs::write(bed.path("nginx.yaml"), &profile).expect("failed to write");
        bed.send("PUT", PROFILE, &profile);
        let command =
            command.replacen("curl ", "curl --silent --show-error --fail-with-body --max-time 60 ", 1);
        let mut shell = Command::new("bash");
        shell.args(["-e", "-c", &command]).current_dir(bed.path(""));
        let said = output(&mut shell);
        assert!(said.status.success(), "{block}{}", String::from_utf8_lossy(&said.stdout));
        assert!(!said.stdout.is_empty(), "{block} says nothing");
        count += 1;
    }
    let operations = bed.json("/v1/openapi.json")["paths"]
        .as_object()
        .expect("paths")
        .values()
        .map(|i| methods(i).len())
        .sum::<usize>();
    println!("{count} examples");
    assert!(count > operations / 2, "{count} of {operations}");
    done(web);
}

#[test]
fn schemathesis_finds_nothing() {
    let bed = Bed::new();
    let pid = bed.pid();
    let web = web(&bed);
    let said = run(Command::new(source("tests/api/fuzz")).arg(bed.path("api.sock")).arg("web"));
    println!("{said}");
    assert_eq!((bed.get("/healthz").as_str(), bed.pid()), ("ok\n", pid));
    assert!(!bed.log().contains("panicked"), "{}", bed.log());
    done(web);
}
