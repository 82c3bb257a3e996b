//! Metrics, and the whole API for reading, over TCP.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    process::Command,
};

use remora_tests::{Bed, Bundle, Events, output, wait_for};
use serde_json::Value;

const TOKEN: &str = "0123456789abcdef-one";

/// Of a port that is free now.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("an address").port()
}

fn listening(address: &str, more: &str) -> Bed {
    Bed::cold().with("api", &format!("metrics_listen = \"{address}\"")).with("api", more)
}

/// Status and body, from outside of remora.
fn ask(port: u16, target: &str, more: &[&str]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}"]).args(more);
    let answer = output(curl.arg(format!("http://127.0.0.1:{port}{target}")));
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (body, status) = answer.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

#[test]
fn on_loopback_metrics_are_read_and_nothing_else_is_there() {
    let port = port();
    let mut bed = listening(&format!("127.0.0.1:{port}"), "");
    bed.start();
    let (status, body) = ask(port, "/metrics", &[]);
    assert!(status == 200 && body.contains("\nremora_map_entries{"), "{status} {body}");
    assert_eq!(ask(port, "/healthz", &[]), (200, "ok\n".to_owned()));
    for target in ["/v1/containers", "/v1/events", "/"] {
        assert_eq!(ask(port, target, &[]).0, 404, "{target}");
    }
    assert_eq!(ask(port, "/metrics", &["--data", "x"]).0, 405);
    // Who connects and says nothing keeps others waiting for a moment only.
    let idle: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("failed to connect")).collect();
    wait_for("an answer beside idle connections", || {
        (ask(port, "/healthz", &["--max-time", "10"]).0 == 200).then_some(())
    });
    drop(idle);
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    needs_a_token("metrics_listen", "metrics_token_file", "/metrics");
    needs_a_token("listen", "token_file", "/v1/containers");
}

fn needs_a_token(listen: &str, token_file: &str, target: &str) {
    let port = port();
    let without = Bed::cold().with("api", &format!("{listen} = \"0.0.0.0:{port}\""));
    without.write_config();
    let said = output(&mut without.remora(&["daemon"]));
    assert_eq!(said.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&said.stderr).contains(&format!("set api.{token_file}, too")),
        "{said:?}"
    );

    let mut bed = Bed::cold();
    let file = bed.path("token");
    fs::write(&file, TOKEN).expect("failed to write");
    bed = bed.with("api", &format!("{listen} = \"0.0.0.0:{port}\""));
    bed = bed.with("api", &format!("{token_file} = \"{}\"", file.display()));
    bed.start();
    let given = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        ask(port, target, &["--header", &header]).0
    };
    assert_eq!(ask(port, target, &[]).0, 401);
    assert_eq!((given("wrong"), given(TOKEN)), (401, 200));
    assert_eq!(ask(port, "/healthz", &[]).0, 200);
    // Another token counts at once.
    fs::write(&file, "0123456789abcdef-two\n").expect("failed to write");
    assert_eq!((given(TOKEN), given("0123456789abcdef-two")), (401, 200));
    fs::remove_file(&file).expect("failed to remove");
    assert_eq!(given("0123456789abcdef-two"), 503);
}

#[test]
fn the_whole_api_is_read_and_nothing_is_changed() {
    let port = port();
    let mut bed = Bed::cold().with("api", &format!("listen = \"127.0.0.1:{port}\""));
    bed.start();
    let bundle = Bundle::new(&bed, "kept", "exec", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    wait_for("its event", || (!bed.events_of("kept").is_empty()).then_some(()));
    for target in ["/v1/containers/kept", "/v1/tracers", "/v1/status", "/v1/topology", "/metrics", "/healthz"]
    {
        assert_eq!(ask(port, target, &[]).0, 200, "{target}");
        assert_eq!(ask(port, target, &["--head"]).0, 200, "{target}");
    }
    let (_, events) = ask(port, "/v1/events?replay=true", &[]);
    assert!(!Events::parse(&events).of_container("kept").is_empty(), "{events}");
    // Root asks here, and is nobody: neither what is described is done, nor anything else.
    let state = || (bed.json("/v1/tracers/exec")["set"].clone(), bed.container("kept"));
    let before = state();
    let document: Value = serde_json::from_str(&ask(port, "/v1/openapi.json", &[]).1).expect("not JSON");
    for path in document["paths"].as_object().expect("paths").keys() {
        let path = path.replace("/containers/{id}", "/containers/kept").replace("{name}", "exec");
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            let (status, body) = ask(port, &path, &["--request", method, "--data-binary", "{}"]);
            assert_eq!(status, 403, "{method} {path}: {body}");
            let problem: Value = serde_json::from_str(&body).expect("not JSON");
            assert!(problem["detail"].as_str().is_some_and(|d| d.contains("Unix socket")), "{problem}");
        }
    }
    assert_eq!(before, state());
    drop(bundle);
    child.wait().expect("failed to wait");
}

#[test]
fn pages_from_elsewhere_and_crowds_are_kept_out() {
    let port = port();
    let mut bed = Bed::cold().with("api", &format!("listen = \"127.0.0.1:{port}\""));
    bed.start();
    for header in ["Host: rebound.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
        for target in ["/v1/containers", "/v1/events?follow=true", "/nowhere"] {
            let (status, body) = ask(port, target, &["--header", header]);
            assert_eq!(status, 403, "{header} {target}: {body}");
        }
    }
    let own = format!("Origin: http://127.0.0.1:{port}");
    let (status, answer) = ask(port, "/v1/containers", &["--include", "--header", &own]);
    assert!(status == 200 && !answer.to_lowercase().contains("access-control"), "{answer}");
    let dropped = |reason| bed.value("remora_api_dropped_total", &[("reason", reason)]);
    assert_eq!(dropped("foreign"), Some(9.0));
    // 100 streams, each of which stays.
    let crowd: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("failed to connect");
            let _ = stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream
        })
        .collect();
    wait_for("some to be sent away", || (dropped("busy") >= Some(36.0)).then_some(()));
    assert_eq!(bed.get("/healthz"), "ok\n");
    drop(crowd);
    wait_for("room again", || (ask(port, "/healthz", &[]).0 == 200).then_some(()));
}
