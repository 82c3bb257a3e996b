//! Files of rules, read again.

use std::{fs, os::unix::fs::PermissionsExt};

use remora_tests::{Bed, wait_for};
use serde_json::Value;

use super::{DROPPER, incident, ran, watching, write_rules};

fn ids(bed: &Bed) -> Vec<String> {
    let rules = bed.json("/v1/rules");
    let enabled = rules.as_array().expect("a list").iter().filter(|r| r["enabled"] == true);
    enabled.map(|r| r["id"].as_str().expect("an id").to_owned()).collect()
}

fn reload(bed: &Bed) -> Vec<Value> {
    let answer: Value = serde_json::from_str(&bed.send("POST", "/v1/rules/reload", "")).expect("not JSON");
    answer["problems"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[test]
fn rules_are_reloaded_and_bad_ones_refused_by_line() {
    let mut bed = watching();
    bed.start();
    assert_eq!(ids(&bed), ["dropped", "odd-name"]);
    let more = "rules:\n  - id: good\n    summary: x\n    description: x\n    condition: event.name == \"exit\"\n    severity: low\n  \
                - id: bad\n    summary: x\n    description: x\n    condition: event.name === 1\n    severity: low\n";
    write_rules(&bed, "20-more.yaml", more);
    write_rules(&bed, "30-none.yaml", "rules: [");
    let problems = reload(&bed);
    assert_eq!(ids(&bed), ["dropped", "odd-name", "good"]);
    let at = |n: usize| {
        let p = &problems[n];
        let file = p["file"].as_str().expect("a file").rsplit('/').next().expect("a name").to_owned();
        (file, p["line"].as_u64(), p["rule"].as_str().map(str::to_owned))
    };
    let expected = ("20-more.yaml".to_owned(), Some(10), Some("bad".to_owned()));
    assert!((0..problems.len()).any(|n| at(n) == expected), "{problems:?}");
    assert!((0..problems.len()).any(|n| at(n).0 == "30-none.yaml"), "{problems:?}");
    assert_eq!(bed.value("remora_rule_problems", &[]), Some(problems.len() as f64));

    // One that others may write is nobody's word.
    write_rules(&bed, "20-more.yaml", "overrides:\n  - id: dropped\n    enabled: false\n");
    fs::remove_file(bed.path("rules.d/30-none.yaml")).expect("failed to remove");
    fs::set_permissions(bed.path("rules.d/20-more.yaml"), fs::Permissions::from_mode(0o666))
        .expect("failed to chmod");
    assert!(reload(&bed)[0]["what"].as_str().is_some_and(|w| w.contains("only root")));
    assert_eq!(ids(&bed), ["dropped", "odd-name"]);
    fs::set_permissions(bed.path("rules.d/20-more.yaml"), fs::Permissions::from_mode(0o644))
        .expect("failed to chmod");
    // SIGHUP reads them, too.
    bed.signal("HUP");
    wait_for("the rule to be off", || (ids(&bed) == ["odd-name"]).then_some(()));
    ran(&bed, "quiet", DROPPER);
    fs::remove_file(bed.path("rules.d/20-more.yaml")).expect("failed to remove");
    assert_eq!(reload(&bed), [] as [Value; 0]);
    ran(&bed, "loud", DROPPER);
    wait_for("the incident", || incident(&bed, "loud", "over"));
    assert!(incident(&bed, "quiet", "over").is_none());
}
