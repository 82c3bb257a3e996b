//! Metrics over TCP.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
};

use remora_tests::{Bed, output, wait_for};

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
    let port = port();
    let without = listening(&format!("0.0.0.0:{port}"), "");
    without.write_config();
    let said = output(&mut without.remora(&["daemon"]));
    assert_eq!(said.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&said.stderr).contains("api.metrics_token_file"), "{said:?}");

    let mut bed = Bed::cold();
    let file = bed.path("token");
    fs::write(&file, TOKEN).expect("failed to write");
    bed = bed.with("api", &format!("metrics_listen = \"0.0.0.0:{port}\""));
    bed = bed.with("api", &format!("metrics_token_file = \"{}\"", file.display()));
    bed.start();
    let metrics = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        ask(port, "/metrics", &["--header", &header]).0
    };
    assert_eq!(ask(port, "/metrics", &[]).0, 401);
    assert_eq!((metrics("wrong"), metrics(TOKEN)), (401, 200));
    assert_eq!(ask(port, "/healthz", &[]).0, 200);
    // Another token counts at once.
    fs::write(&file, "0123456789abcdef-two\n").expect("failed to write");
    assert_eq!((metrics(TOKEN), metrics("0123456789abcdef-two")), (401, 200));
    fs::remove_file(&file).expect("failed to remove");
    assert_eq!(metrics("0123456789abcdef-two"), 503);
}
