use remora_alert::meaning::Meanings;
use remora_alert::rules::{Rules, Source};
use serde_json::{Value, json};

use super::recording::Recordings;
use super::*;

const RULES: &str = "rules:
  - id: dropped
    summary: '{process.executable.path} is no part of the image'
    description: for tests
    condition: event.name == \"exec\" && exec.origin == \"upper\"
    severity: high
    tags: [T1105, execution]
";

fn exec(second: u64, pid: u64, parent: u64, path: &str, origin: &str) -> String {
    let time = remora_alert::time::format((1_700_000_000 + second) * SECOND);
    let name = path.rsplit('/').next().unwrap_or_default();
    json!({"time": time, "event": {"name": "exec", "tracer": "exec", "cursor": second},
        "container": {"id": "c1", "name": "web", "image": {"name": "nginx", "id": "sha256:0"}},
        "process": {"pid": pid, "parent_pid": parent, "vpid": pid, "comm": name, "executable": {"path": path}, "command_args": [name]},
        "exec": {"origin": origin}})
    .to_string()
        + "\n"
}

fn replay(format: Format, recording: &str) -> String {
    let source = Source { name: "mine.yaml".into(), text: RULES.into() };
    let (rules, problems) = Rules::compile(&[source], Some(&Meanings::shipped()));
    assert_eq!(problems, []);
    let config = Config::default();
    let engine = Engine::new(config.alerts.limits(), rules, Meanings::shipped());
    let mut replay = Replay::new(engine, &config, format, Vec::new());
    replay.all(Recordings::of_text(recording)).unwrap();
    String::from_utf8(replay.out).unwrap()
}

fn attack() -> String {
    exec(0, 1, 0, "/usr/sbin/nginx", "image")
        + &exec(5, 7, 1, "/bin/sh", "image")
        + "{\"gap\":{\"after\":1,\"to\":9}}\n"
        + &exec(6, 8, 7, "/tmp/x\u{1b}[2J", "upper")
}

#[test]
fn an_incident_is_told_with_its_story_and_what_was_lost() {
    let text = replay(Format::Text, &attack());
    for said in [
        "high",
        "is no part of the image",
        "dropped",
        "T1105",
        "nginx",
        "3 in 0.00 h, 1 gaps",
        "incidents              1\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_same_recording_has_the_same_result() {
    let first = replay(Format::Json, &attack());
    assert_eq!(replay(Format::Json, &attack()), first);
    let last: Value = serde_json::from_str(first.lines().last().unwrap_or_default()).unwrap();
    assert_eq!((&last["summary"]["incidents"], &last["summary"]["rules"]["dropped"]), (&json!(1), &json!(1)));
    // What is open comes to its end.
    let told = first.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let states: Vec<Value> = told.map(|t| t["incident"]["state"].clone()).filter(|s| !s.is_null()).collect();
    assert_eq!((states.first(), states.last()), (Some(&json!("open")), Some(&json!("over"))), "{first}");
}

#[test]
fn a_leap_in_time_is_no_endless_wait() {
    let leap = exec(0, 1, 0, "/bin/sh", "image") + &exec(9_000_000_000, 2, 1, "/bin/sh", "image");
    assert!(replay(Format::Text, &leap).contains("events                 2 in"));
}
