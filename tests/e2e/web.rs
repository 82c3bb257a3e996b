//! The page, in a browser.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use remora_tests::{Bed, Podman, build_dir, run, source, wait_for};

/// What would run in the page if it were taken for HTML.
const HOSTILE: &str = "<img src=x onerror=window.pwned=1>";
/// Ports of the application's services.
const API: u16 = 18_081;
const DB: u16 = 18_082;
const NOBODY: u16 = 18_083;

fn node(script: &str) -> Command {
    let tests: PathBuf = source("tests/web");
    let mut command = Command::new("node");
    command.current_dir(tests).env("REMORA", build_dir().join("remora")).arg(script);
    command
}

#[test]
fn before_a_daemon_that_is_none() {
    let said = run(node("--test").arg("page.test.js"));
    assert!(said.contains("# fail 0"), "{said}");
}

/// A container in the host's network, which is nobody else's here.
fn service(podman: &Podman, name: &str, script: &str) {
    const ON: [&str; 4] =
        ["--detach", "--network=host", "--annotation", "io.remora.trace=default file profile"];
    podman.run(name, &ON, &["sh", "-c", script]);
}

/// `web` asks `api`, which asks `db`, for as long as the test looks.
fn application(podman: &Podman) {
    service(podman, "db", &format!("exec /bin/httpd -f -p 127.0.0.1:{DB} -h /etc"));
    let ask = format!("#!/bin/sh\\necho\\n/bin/wget -q -O- http://127.0.0.1:{DB}/passwd\\n");
    let api = format!(
        "mkdir -p /srv/cgi-bin; echo x >'/srv/{HOSTILE}'; cat '/srv/{HOSTILE}'; printf '{ask}' >/srv/cgi-bin/ask; \
         chmod 755 /srv/cgi-bin/ask; exec /bin/httpd -f -p 127.0.0.1:{API} -h /srv"
    );
    service(podman, "api", &api);
    let web = format!(
        "while :; do /bin/wget -q -O /dev/null http://127.0.0.1:{API}/cgi-bin/ask; \
         /bin/wget -q -O /dev/null http://127.0.0.1:{NOBODY}/; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; done"
    );
    service(podman, "web", &web);
}

#[test]
fn each_view_shows_live_containers() {
    // The past is long enough that the first exec is still known at the end.
    let mut bed = Bed::cold().with("limits", "history_bytes = \"256MiB\"");
    bed.start();
    let podman = Podman::new(&bed);
    application(&podman);
    wait_for("the application to be asked", || {
        (bed.value("remora_flow_connections_total", &[("container", "db")])? > 3.0).then_some(())
    });
    browse("live.js", &mut bed);
}

/// Runs a script before the daemon, which is restarted where the script says so.
fn browse(script: &str, bed: &mut Bed) {
    let mut browser = node(script).arg(bed.path("api.sock")).stdout(Stdio::piped()).spawn().expect("no node");
    let mut seen = false;
    for line in BufReader::new(browser.stdout.take().expect("stdout")).lines().map_while(Result::ok) {
        match line.as_str() {
            "restart" => {
                bed.stop();
                std::thread::sleep(Duration::from_secs(4));
                bed.start();
            }
            line => seen |= line == "all seen",
        }
    }
    let status = browser.wait().expect("failed to wait");
    assert!(status.success() && seen, "{status}");
}

#[test]
fn an_incident_is_on_the_page_with_its_graph() {
    // Loaded before the first container, whose start waits for no more than half a second.
    let bed = Bed::cold().with("tracers", "preload = [\"default\", \"security\"]");
    let mut bed = bed.with("alerts", "shipped_rules = true");
    bed.start();
    let podman = Podman::new(&bed);
    // A program that is no part of the image, written by a shell and executed; and a key for whoever wants to come again.
    let script = format!(
        "cat /bin/busybox >'/tmp/{HOSTILE}'; chmod 755 '/tmp/{HOSTILE}'; '/tmp/{HOSTILE}' id; \
         mkdir -p /root/.ssh; echo key >>/root/.ssh/authorized_keys; exec sleep 600"
    );
    let on = ["--detach", "--annotation", "io.remora.trace=default security"];
    podman.run("victim", &on, &["sh", "-c", &script]);
    wait_for("the incident", || {
        let said = run(&mut bed.remora(&["alerts", "--container", "victim"]));
        said.contains("victim").then_some(())
    });
    browse("alerts.js", &mut bed);
}
