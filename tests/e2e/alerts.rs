//! From what a container does to the person who is told of it.

mod outage;
mod outputs;
mod profiles;
mod reload;
mod who;

use std::{fs, process::Child};

use remora_tests::{Alertmanager, Bed, Bundle, Containerd, Podman, events::text, wait_for};
use serde_json::Value;

/// What was put into the container while it ran is executed: no image has it.
const RULES: &str = r#"
rules:
  - id: dropped
    summary: "{process.executable.path} was executed, which is not of the image"
    description: What an image does not have was brought into its container.
    condition: event.name == "exec" && (exec.origin == "upper" || process.executable.path.startsWith("/tmp/"))
    severity: high
    tags: [T1105, command-and-control]
  - id: odd-name
    summary: "{process.executable.path} was called with an odd name"
    description: For the test.
    condition: event.name == "exec" && process.executable.path.contains("odd")
    severity: high
    tags: [T1036, defense-evasion]
"#;

/// The dropper. It waits, so that the incident is told while it runs.
const DROPPER: &str = "cp /bin/busybox /tmp/busybox-new; /tmp/busybox-new true; /tmp/busybox-new sleep 1";
const TRACED: &str = "io.remora.trace=exec";

/// A bed with rules, whose incidents are over soon.
fn watching() -> Bed {
    let bed = Bed::cold().with("alerts", "window = \"3s\"").with("alerts.alertmanager", "hold = \"2s\"");
    write_rules(&bed, "10-test.yaml", RULES);
    bed
}

fn write_rules(bed: &Bed, name: &str, rules: &str) {
    let dir = bed.path("rules.d");
    fs::create_dir_all(&dir).expect("failed to make a folder");
    fs::write(dir.join(name), rules).expect("failed to write rules");
}

fn incidents(bed: &Bed) -> Vec<Value> {
    bed.json("/v1/alerts").as_array().expect("a list").clone()
}

/// The one incident of a container, in this state.
fn incident(bed: &Bed, container: &str, state: &str) -> Option<Value> {
    let found = bed.json(&format!("/v1/alerts?container={container}&state={state}"));
    found.as_array().expect("a list").first().cloned()
}

/// A container of runc's that runs a script.
fn started(bed: &Bed, name: &str, script: &str) -> (Bundle, Child) {
    let bundle = Bundle::new(bed, name, "exec", &["/bin/sh", "-c", script]);
    let child = bundle.start();
    (bundle, child)
}

/// The same, to its end.
fn ran(bed: &Bed, name: &str, script: &str) {
    let (_bundle, mut child) = started(bed, name, script);
    child.wait().expect("failed to wait");
    bed.ended(name);
}

/// It fires once, and is resolved.
fn told_once(bed: &Bed, alertmanager: &Alertmanager, container: &str) {
    let mine = |alert: &&Value| alert["labels"]["container"] == container;
    let firing = wait_for("it to fire", || alertmanager.notified("firing").into_iter().find(|a| mine(&a)));
    for (label, value) in [("alertname", "RemoraIncident"), ("severity", "high"), ("rule", "dropped")] {
        assert_eq!(firing["labels"][label], value, "{firing}");
    }
    assert!(text(&firing, "annotations.description").contains("/tmp/busybox-new"), "{firing}");
    let id = text(&firing, "labels.incident");
    let resolved =
        wait_for("it to be resolved", || alertmanager.notified("resolved").into_iter().find(|a| mine(&a)));
    assert_eq!(text(&resolved, "labels.incident"), id);
    wait_for("nothing to fire", || (!alertmanager.alerts().iter().any(|a| mine(&a))).then_some(()));
    let firing = alertmanager.notified("firing");
    let ids = firing.iter().filter(mine).map(|a| text(a, "labels.incident"));
    assert!(ids.into_iter().all(|i| i == id), "{firing:?}");
    assert_eq!(incidents(bed).len(), 1, "{:?}", incidents(bed));
}

#[test]
fn a_dropper_in_a_container_is_one_incident_at_alertmanager() {
    let bed = watching();
    let alertmanager = Alertmanager::new(&bed);
    let mut bed = bed.with("alerts.alertmanager", &format!("urls = [\"{}\"]", alertmanager.url()));
    bed.start();
    let podman = Podman::new(&bed);
    podman.run("neighbour", &["--annotation", TRACED], &["sh", "-c", "ls / >/dev/null; sleep 0.1"]);
    podman.run("web", &["--annotation", TRACED], &["sh", "-c", DROPPER]);
    told_once(&bed, &alertmanager, "web");
    let id = text(&incidents(&bed)[0], "id");
    let whole = bed.json(&format!("/v1/alerts/{id}"));
    assert_eq!(whole["image"], "localhost/remora-test:latest");
    assert_eq!(whole["ledger"]["complete"], true);
    assert!(whole["graph"]["nodes"].as_array().is_some_and(|n| n.len() > 1), "{whole}");
    assert!(whole["alarms"].as_array().is_some_and(|a| a.iter().all(|a| a["rule"] == "dropped")), "{whole}");
    assert!(bed.value("remora_incidents_total", &[("severity", "high")]) == Some(1.0));
    let matches = bed.value("remora_rule_matches_total", &[("rule", "dropped"), ("container", "web")]);
    assert!(matches.is_some_and(|n| n >= 2.0), "{matches:?}");
    assert_eq!(bed.value("remora_rule_matches_total", &[("container", "neighbour")]), None);
}

#[test]
fn a_dropper_in_a_container_of_containerd_is_one_incident_at_alertmanager() {
    let bed = watching();
    let alertmanager = Alertmanager::new(&bed);
    let mut bed = bed.with("alerts.alertmanager", &format!("urls = [\"{}\"]", alertmanager.url()));
    bed.start();
    let containerd = Containerd::new(&bed);
    let wrapper = containerd.wrapper();
    let options = [&wrapper[0], &wrapper[1], "--rm", "--annotation", TRACED];
    containerd.run("web", &options, &["/bin/sh", "-c", DROPPER]);
    told_once(&bed, &alertmanager, "web");
}

#[test]
fn examples_are_what_alertmanager_takes() {
    let example = remora_tests::source("examples/alertmanager/alertmanager.yml");
    remora_tests::run(Alertmanager::program("amtool").arg("check-config").arg(example));
}
