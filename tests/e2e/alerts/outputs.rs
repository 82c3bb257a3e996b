//! Incidents by HTTP, as a line of syslog, in a file, and at an OpenTelemetry collector.

use std::{fs, os::unix::net::UnixDatagram, time::Duration};

use remora_tests::{Alertmanager, Sink, events::text, otlp::Collector, wait_for};
use serde_json::Value;

use super::{DROPPER, incident, ran, watching};

#[test]
fn webhook_syslog_and_file() {
    let (bed, sink, collector) = (watching(), Sink::new(), Collector::new());
    let (log, file, token) = (bed.path("log.sock"), bed.path("incidents.ndjson"), bed.path("token"));
    fs::write(&token, "0123456789abcdef\n").expect("failed to write");
    let syslog = UnixDatagram::bind(&log).expect("failed to bind");
    syslog.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
    let mut bed = bed
        .with("alerts.webhook", &format!("url = \"http://{}/incidents\"", sink.address()))
        .with("alerts.webhook", &format!("token_file = \"{}\"", token.display()))
        .with("alerts.syslog", &format!("address = \"unix:{}\"", log.display()))
        .with("alerts.file", &format!("path = \"{}\"", file.display()))
        .with("otlp", &format!("endpoint = \"{}\"", collector.endpoint()));
    bed.start();
    ran(&bed, "web", DROPPER);
    let whole = wait_for("its end", || incident(&bed, "web", "over"));
    let id = text(&whole, "id");

    let states = |all: Vec<Value>| -> Vec<String> {
        all.iter().filter(|i| i["id"] == id).map(|i| text(i, "state")).collect()
    };
    let posted = wait_for("the webhook", || {
        let posted = sink.posted();
        let all = posted.iter().flat_map(|p| p.body.as_array().cloned().unwrap_or_default()).collect();
        (states(all).last()? == "over").then_some(posted)
    });
    assert!(posted.iter().all(|p| p.what == "POST /incidents" && p.token == "Bearer 0123456789abcdef"));
    assert!(posted[0].body[0]["alarms"].as_array().is_some_and(|a| !a.is_empty()), "{posted:?}");

    wait_for("the file", || {
        let lines = fs::read_to_string(&file).ok()?;
        let all = lines.lines().map(|l| serde_json::from_str(l).expect("not JSON")).collect();
        (states(all).last()? == "over").then_some(())
    });

    let mut line = vec![0; 10_000];
    let n = syslog.recv(&mut line).expect("no line of syslog");
    let line = String::from_utf8_lossy(&line[..n]).into_owned();
    assert!(line.starts_with("<83>1 ") && line.contains(&format!("[remora@32473 id=\"{id}\"")), "{line}");
    assert!(line.contains("container=\"web\"") && line.contains("/tmp/busybox-new"), "{line}");

    wait_for("the collector", || {
        let logs = collector.logs();
        let mut mine =
            logs.iter().filter(|r| r.event == "remora.incident" && r.at("container.name") == "web");
        (mine.next_back()?.at("incident.state") == "over").then_some(())
    });
    for output in ["webhook", "syslog", "file", "otlp"] {
        assert_eq!(bed.value("remora_alert_output_up", &[("output", output)]), Some(1.0), "{output}");
        let sent = bed.value("remora_alert_output_sent_total", &[("output", output)]);
        assert!(sent.is_some_and(|n| n >= 1.0), "{output}: {sent:?}");
    }
}

#[test]
fn what_a_container_chose_is_escaped_where_it_is_told() {
    let bed = watching();
    let alertmanager = Alertmanager::new(&bed);
    let mut bed = bed.with("alerts.alertmanager", &format!("urls = [\"{}\"]", alertmanager.url()));
    bed.start();
    // Names and arguments that would colour a terminal, end a line and turn text around.
    let script = r#"name=$(printf '/tmp/busybox-odd\033[31m\n"<b>\342\200\256x'); cp /bin/busybox "$name"; "$name" true "$name"; "$name" sleep 1"#;
    ran(&bed, "hostile", script);
    let firing = wait_for("it to fire", || {
        alertmanager.notified("firing").into_iter().find(|a| a["labels"]["container"] == "hostile")
    });
    let harmful = |text: &str| text.contains(['\u{1b}', '\n', '\u{202e}']);
    let summary = text(&firing, "annotations.summary");
    assert!(!harmful(&summary), "{firing}");
    for line in text(&firing, "annotations.description").lines() {
        assert!(!harmful(line), "{firing}");
    }
    assert!(text(&firing, "annotations.description").contains("\\u{1b}[31m"), "{firing}");
    let raw = bed.get("/v1/alerts");
    assert!(!harmful(&raw), "{raw}");
}
