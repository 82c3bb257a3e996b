//! Events and metrics at an OpenTelemetry collector, through its outages and those of the daemon.

use std::collections::BTreeSet;

use remora_tests::{Bed, Bundle, otlp::Collector, otlp::texts, output, wait_for};

fn sending(collector: &Collector) -> Bed {
    Bed::cold()
        .with("otlp", &format!("endpoint = \"{}\"", collector.endpoint()))
        .with("otlp", "interval = \"1s\"")
}

fn traced(bed: &Bed, name: &str, command: &[&str]) {
    let mut args = vec!["run", "--name", name, "--trace", "exec", "--"];
    args.extend(command);
    output(&mut bed.remora(&args));
    bed.ended(name);
}

fn cursors(collector: &Collector) -> Vec<u64> {
    let logs = collector.logs();
    logs.iter()
        .filter(|r| r.event != "gap")
        .map(|r| r.at("event.cursor").parse().expect("a cursor"))
        .collect()
}

fn wait_all(bed: &Bed, collector: &Collector) {
    wait_for("all events", || {
        let all = bed.events().0;
        let sent: BTreeSet<u64> = cursors(collector).into_iter().collect();
        all.iter().all(|e| e["event"]["cursor"].as_u64().is_some_and(|c| sent.contains(&c))).then_some(())
    });
}

#[test]
fn a_collector_gets_events_under_the_names_of_their_json() {
    let collector = Collector::new();
    let bed = sending(&collector);
    let token = bed.path("token");
    std::fs::write(&token, "0123456789abcdef\n").expect("failed to write");
    let mut bed = bed.with("otlp", &format!("token_file = \"{}\"", token.display()));
    bed.start();
    traced(&bed, "web", &["sh", "-c", "ls / >/dev/null; exit 3"]);
    wait_all(&bed, &collector);
    let events = bed.events().0;
    let logs = collector.logs();
    assert_eq!(logs.len(), events.len());
    for (record, event) in logs.iter().zip(&events) {
        assert_eq!(record.event, event["event"]["name"].as_str().expect("a name"));
        for path in
            ["container.name", "container.id", "process.executable.path", "process.comm", "event.tracer"]
        {
            assert_eq!(record.at(path), remora_tests::events::text(event, path), "{path} of {event}");
        }
        assert_eq!(record.at("process.pid"), event["process"]["pid"].to_string());
        assert_eq!(record.at("service.name"), "remora");
        assert!(record.unix_ns > 1_700_000_000_000_000_000);
    }
    let exit = logs.iter().rfind(|r| r.event == "exit").expect("an exit");
    assert_eq!(exit.at("exit.code"), "3");
    assert!(
        collector.tokens().iter().all(|t| t == "Bearer 0123456789abcdef") && !collector.tokens().is_empty()
    );
    assert_eq!(bed.value("remora_otlp_sent_total", &[]), Some(events.len() as f64));
    assert_eq!(bed.value("remora_otlp_up", &[("signal", "logs")]), Some(1.0));
}

#[test]
fn a_collector_gets_metrics() {
    let collector = Collector::new();
    let mut bed = sending(&collector);
    bed.start();
    let bundle = Bundle::new(&bed, "metered", "exec", &["/bin/sh", "-c", "/bin/true; exec /bin/sleep 1000"]);
    let mut child = bundle.start();
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
    wait_for("the counter", || {
        let metrics = collector.metrics();
        let execs = metrics.iter().find(|m| m.name == "remora_exec_execs_total")?;
        let Some(Data::Sum(sum)) = &execs.data else { panic!("{execs:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{execs:?}");
        let is = |a: &[_]| texts(a).get("container.name").is_some_and(|n| n == "metered");
        let point = sum.data_points.iter().find(|p| is(&p.attributes))?;
        (point.value == Some(Value::AsDouble(3.0))).then_some(())
    });
    bundle.delete();
    child.wait().expect("failed to wait");
}

#[test]
fn an_outage_of_the_collector_loses_nothing() {
    let mut collector = Collector::new();
    let mut bed = sending(&collector).with("history", "enabled = true");
    bed.start();
    traced(&bed, "before", &["true"]);
    wait_all(&bed, &collector);
    collector.stop();
    traced(&bed, "during", &["sh", "-c", "for i in 1 2 3; do /bin/true $i; done"]);
    wait_for("it to be noticed", || {
        (bed.value("remora_otlp_up", &[("signal", "logs")])? == 0.0).then_some(())
    });
    wait_for("it to be stored", || {
        (bed.value("remora_history_stored_total", &[])? >= bed.events().len() as f64).then_some(())
    });
    // The daemon is killed, too, and one that is busy answers first.
    bed.kill();
    bed.start();
    traced(&bed, "then", &["true"]);
    collector.answer(503, "Retry-After: 1\r\n");
    collector.answer(429, "");
    collector.again();
    wait_all(&bed, &collector);
    let sent = cursors(&collector);
    let unique: BTreeSet<_> = sent.iter().collect();
    let names: BTreeSet<String> =
        collector.logs().iter().map(|r| r.at("container.name").to_owned()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["before", "during", "then"]);
    assert!(collector.logs().iter().all(|r| r.event != "gap"));
    // What was under way when the daemon was killed may come twice, which OTLP allows.
    assert!(sent.len() - unique.len() <= 8, "{sent:?}");
}

#[test]
fn with_history_an_outage_may_be_longer_than_the_daemon_s_memory() {
    let mut collector = Collector::new();
    let small = |bed: Bed, bytes: &str| bed.with("limits", &format!("history_bytes = \"{bytes}\""));
    let mut bed = small(sending(&collector), "64KiB").with("history", "enabled = true");
    bed.start();
    collector.stop();
    let script = "i=0; while [ $i -lt 2000 ]; do /bin/true $i; i=$((i+1)); done";
    traced(&bed, "long", &["sh", "-c", script]);
    let stored = wait_for("all to be stored", || {
        let stored = bed.value("remora_history_stored_total", &[])?;
        (stored >= 4002.0).then_some(stored)
    });
    collector.again();
    wait_for("all of them", || (cursors(&collector).len() as f64 >= stored).then_some(()));
    let sent = cursors(&collector);
    assert!(sent.is_sorted_by(|a, b| a < b), "in their order, and each once");
    assert_eq!((bed.value("remora_otlp_gaps_total", &[]), stored), (Some(0.0), 4002.0));
    // Without it, what is forgotten is told: here, and to the collector.
    let mut collector = Collector::new();
    let mut bed = small(sending(&collector), "0B");
    bed.start();
    traced(&bed, "first", &["true"]);
    wait_for("the first", || (cursors(&collector).len() == 2).then_some(()));
    collector.stop();
    traced(&bed, "short", &["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/true $i; sleep 0.2; done"]);
    collector.again();
    wait_for("the gap", || collector.logs().iter().any(|r| r.event == "gap").then_some(()));
    assert!(bed.value("remora_otlp_gaps_total", &[]) >= Some(1.0));
}

#[test]
fn what_a_collector_does_not_want_is_counted() {
    let collector = Collector::new();
    let mut bed = sending(&collector);
    bed.start();
    collector.reject(1);
    traced(&bed, "odd", &["true"]);
    let lost = |reason| bed.value("remora_otlp_lost_total", &[("reason", reason)]).unwrap_or_default();
    wait_for("the rejection", || (lost("rejected") == 1.0).then_some(()));
    assert!(bed.log().contains("too odd"), "{}", bed.log());
    collector.answer(400, "");
    traced(&bed, "wrong", &["true"]);
    wait_for("the refusal", || (lost("refused") >= 1.0).then_some(()));
    traced(&bed, "right", &["true"]);
    wait_for("what comes after", || {
        collector.logs().iter().any(|r| r.at("container.name") == "right").then_some(())
    });
}
