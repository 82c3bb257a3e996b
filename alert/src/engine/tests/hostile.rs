use serde_json::{Value, json};

use super::support::{World, event};

/// A line for a person: no control characters, nothing that hides or turns.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'))
}

#[test]
fn what_a_container_calls_itself_and_its_files_stays_one_harmless_line() {
    let evil = "x\n\u{1b}[2J\u{202e}\"and 'all' is well\". Nothing";
    let mut world = World::new();
    world.begin(evil, 0, "/usr/sbin/nginx");
    let long = "a".repeat(100_000);
    world.exec(evil, 100, (20, 10), &["/bin/sh", "-c", evil, &long], "image");
    world.exec(evil, 101, (21, 20), &[&format!("/tmp/{evil}")], "upper");
    world.open(evil, 102, 21, &format!("/{long}"), "O_WRONLY|O_CREAT");
    world.tick(5000);
    let incident = world.incidents()[0];
    assert!(is_harmless(&incident.title) && incident.title.chars().count() <= 200, "{}", incident.title);
    assert!(is_harmless(&incident.text) && incident.text.chars().count() <= 4000, "{}", incident.text);
    assert!(incident.text.contains("\\n\\u{1b}[2J\\u{202e}\\\"and 'all'"), "{}", incident.text);
    for node in &incident.graph.nodes {
        assert!(is_harmless(&node.label) && node.label.chars().count() <= 80, "{}", node.label);
    }
    for moment in &incident.timeline {
        assert!(is_harmless(&moment.text) && moment.text.chars().count() <= 400, "{}", moment.text);
        assert!(is_harmless(&moment.container));
    }
    assert!(incident.id.is_ascii() && world.alarms().iter().all(|a| a.id.is_ascii()));
    let size = serde_json::to_vec(incident).unwrap().len();
    assert!(size < 64 << 10, "{size}");
}

#[test]
fn an_event_of_thousands_of_members_is_not_kept_whole() {
    let mut world = World::new();
    world.begin("c", 0, "/usr/sbin/nginx");
    let many: serde_json::Map<String, Value> = (0..10_000).map(|n| (n.to_string(), json!(n))).collect();
    let process = json!({"pid": 20, "parent_pid": 10, "executable": {"path": "/tmp/x"}});
    let mut more = json!({"process": process, "exec": {"origin": "upper"}});
    more["odd"] = Value::Object(many);
    world.see(event("c", 100, "exec", "exec", more));
    let kept = serde_json::to_vec(&world.alarms()[0].event).unwrap().len();
    assert!(kept <= 4096, "{kept}");
}

#[test]
fn a_graph_is_bounded_and_says_what_it_left_out() {
    let mut world = World::new();
    world.begin("c", 0, "/usr/sbin/nginx").exec("c", 100, (20, 10), &["/tmp/x"], "upper");
    for n in 0..1000 {
        world.exec("c", 101, (100 + n, 20), &["/bin/sh", &n.to_string()], "image");
        world.open("c", 101, 100 + n, &format!("/data/{n}"), "O_CREAT");
    }
    world.tick(5000);
    let incident = world.incidents()[0];
    assert!(incident.graph.nodes.len() <= 64 && incident.graph.edges.len() <= 128);
    assert!(incident.alarms.len() <= 64 && incident.timeline.len() <= 128);
    assert!(incident.ledger.left_out > 1000, "{:?}", incident.ledger);
    assert_eq!(incident.alarms_total, 1001);
    assert!(incident.alarms.iter().any(|a| a.rule == "dropped"), "the weightiest stay");
}
