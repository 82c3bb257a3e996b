//! Who may do what, and what is left behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use remora_tests::{events::text, output, run, wait_for};
use serde_json::Value;

use super::{DROPPER, incident, ran, watching};

#[test]
fn root_alone_reloads_and_changes_profiles() {
    let mut bed = watching().with("api", "group = \"daemon\"");
    bed.start();
    fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
    let key = "localhost%2Fnginx@sha256:1f0a";
    let profile = format!("/v1/profiles/{key}");
    let (pin, unpin) = (format!("{profile}/pin"), format!("{profile}/unpin"));
    for (method, target, status) in [
        ("GET", "/v1/alerts", "200"),
        ("GET", "/v1/alarms", "200"),
        ("GET", "/v1/rules", "200"),
        ("GET", "/v1/profiles", "200"),
        ("POST", "/v1/rules/reload", "403"),
        ("PUT", &profile, "403"),
        ("DELETE", &profile, "403"),
        ("POST", &pin, "403"),
        ("POST", &unpin, "403"),
    ] {
        let mut curl = Command::new("setpriv");
        curl.args(["--reuid=65534", "--regid=65534", "--groups=1", "curl", "--silent", "--max-time", "30"]);
        curl.args([
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--request",
            method,
            "--unix-socket",
        ]);
        let said = output(curl.arg(bed.path("api.sock")).arg(format!("http://localhost{target}")));
        assert_eq!(String::from_utf8_lossy(&said.stdout), status, "{method} {target}");
    }
    // Too much is not read.
    let large = "x".repeat((4 << 20) + 1);
    assert!(bed.send("PUT", &profile, &large).contains("413"));
    for dir in ["state/alerts", "state/profiles"] {
        let meta = fs::metadata(bed.path(dir));
        assert!(meta.is_ok_and(|m| m.permissions().mode() & 0o777 == 0o700), "{dir}");
    }
}

#[test]
fn who_follows_has_each_as_it_is_told() {
    let mut bed = watching();
    bed.start();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--no-buffer", "--max-time", "60", "--unix-socket"]).arg(bed.path("api.sock"));
    curl.args([
        "--header",
        "Accept: text/event-stream",
        "http://localhost/v1/alerts?follow=true&severity=high",
    ]);
    let mut child = curl.stdout(Stdio::piped()).spawn().expect("failed to start curl");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    ran(&bed, "web", DROPPER);
    let mut next = |what: &str| -> Value {
        loop {
            let line = lines.next().expect("the stream ended");
            let told = line
                .strip_prefix("data: ")
                .map(|data| serde_json::from_str::<Value>(data).expect("not JSON"));
            if let Some(found) = told.filter(|t| t.get(what).is_some()) {
                return found[what].clone();
            }
        }
    };
    assert_eq!(text(&next("alarm"), "rule"), "dropped");
    let first = next("incident");
    assert_eq!(text(&first, "state"), "open");
    assert_eq!(first["subjects"][0]["container"]["name"], "web");
    while text(&next("incident"), "state") != "over" {}
    child.kill().ok();
    child.wait().expect("failed to wait");
}

#[test]
fn reset_leaves_nothing() {
    let mut bed = watching();
    bed.start();
    ran(&bed, "web", DROPPER);
    wait_for("the incident", || incident(&bed, "web", "over"));
    bed.stop();
    assert!(bed.path("state/alerts/incidents").exists());
    run(&mut bed.remora(&["reset"]));
    assert!(!bed.path("state/alerts").exists() && !bed.path("state/profiles").exists());
}
