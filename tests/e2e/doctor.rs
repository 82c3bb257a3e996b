//! `remora doctor`: what it says of a host that can, and of one whose daemon is away.

use remora_tests::{Bed, output};
use serde_json::Value;

fn findings(bed: &Bed) -> (Option<i32>, Vec<Value>) {
    let said = output(&mut bed.remora(&["doctor", "--format", "json"]));
    let sections: Vec<Value> =
        serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let names: Vec<&str> = sections.iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["host", "daemon", "managers", "runtimes", "tracers"]);
    (said.status.code(), sections)
}

fn of<'a>(sections: &'a [Value], section: &str, name: &str) -> &'a Value {
    let section = sections.iter().find(|s| s["name"] == section).expect("a section");
    let mut all = section["findings"].as_array().expect("findings").iter();
    all.find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name} in {section}"))
}

#[test]
fn of_a_daemon_that_runs_and_of_one_that_does_not() {
    let mut bed = Bed::new();
    let (_, sections) = findings(&bed);
    assert_eq!(of(&sections, "daemon", "API")["ok"], true, "{sections:?}");
    assert_eq!(of(&sections, "daemon", "hook's socket")["ok"], true, "{sections:?}");
    let loading = of(&sections, "tracers", "loading");
    assert!(
        loading["ok"] == true && loading["detail"].as_str().expect("text").contains("can be loaded"),
        "{loading}"
    );
    assert!(of(&sections, "runtimes", "runc")["detail"].as_str().expect("text").contains("runc version"));
    assert!(of(&sections, "managers", "podman")["detail"].as_str().expect("text").contains("podman version"));
    bed.stop();
    let (code, sections) = findings(&bed);
    assert_eq!(code, Some(1));
    let api = of(&sections, "daemon", "API");
    assert!(api["ok"] == false && api["required"] == true, "{api}");
    assert!(api["advice"].as_str().expect("text").contains("journalctl"), "{api}");
    let text = output(&mut bed.remora(&["doctor"]));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("\ndaemon\n  MISSING  API: "), "{text}");
    assert!(text.starts_with("host\n  ok       kernel: Linux"), "{text}");
}
