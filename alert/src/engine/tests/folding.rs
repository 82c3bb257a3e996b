use super::support::{World, at};

#[test]
fn repetitions_are_told_at_ten_and_a_hundred_and_a_thousand() {
    let mut world = World::new();
    for c in ["web-1", "web-2"] {
        world.begin(c, 0, "/usr/sbin/nginx");
    }
    for n in 0..1000_u64 {
        let c = ["web-1", "web-2"][n as usize % 2];
        world.exec(c, 100 + n, (100 + n, 10), &["/bin/sh", "-c", "x"], "image");
        world.exit(c, 100 + n, 100 + n);
    }
    let counts: Vec<u64> = world.alarms().iter().map(|a| a.count).collect();
    assert_eq!(counts, [1, 10, 100, 1000], "over all containers of the image");
    let ids: std::collections::BTreeSet<_> = world.alarms().iter().map(|a| a.id.clone()).collect();
    assert_eq!(ids.len(), 1);
    let counts = world.engine.counts();
    assert_eq!((counts.alarms_raw, counts.alarms, counts.suppressed), (1000, 4, 996));
    world.exec("web-1", 100_000, (9, 10), &["/bin/sh", "-c", "x"], "image");
    assert_eq!(world.alarms().last().unwrap().count, 1, "the next day begins anew");
}

#[test]
fn grave_alarms_are_told_in_every_incident() {
    let mut world = World::new();
    for n in 0..20_u64 {
        let c = format!("web-{n}");
        // Not replicas at a time: each a day's time window after the other, but in one window of repetitions.
        let second = n * 1000;
        world.begin(&c, second, "/usr/sbin/nginx");
        world.exec(&c, second + 100, (20, 10), &["/tmp/x"], "upper");
        world.exec(&c, second + 101, (21, 10), &["/tmp/x"], "upper");
    }
    let dropped = world.alarms().iter().filter(|a| a.rule == "dropped").count();
    assert!(dropped >= 20, "{dropped}");
    assert_eq!(world.incidents().len(), 20);
    let ids: std::collections::BTreeSet<_> = world.alarms().iter().map(|a| a.id.clone()).collect();
    assert!(ids.len() >= 20);
}

#[test]
fn the_same_in_several_replicas_counts_once() {
    let mut world = World::new();
    for n in 0..30 {
        world.begin(&format!("web-{n}"), 0, "/usr/sbin/nginx");
    }
    for n in 0..30 {
        world.exec(&format!("web-{n}"), 100 + n, (20, 10), &["/bin/sh", "-c", "x"], "image");
    }
    assert!(world.incidents().is_empty(), "thirty times the same is not graver than once");
    world.exec("web-3", 140, (21, 20), &["/tmp/x"], "upper");
    let [incident] = world.incidents()[..] else { panic!() };
    assert_eq!((incident.alarms_total, incident.subjects.len()), (31, 30));
    assert_eq!(incident.score, 14.0);
    assert!(incident.title.starts_with("web-3 and 29 other containers: "), "{}", incident.title);
}

#[test]
fn the_first_of_each_container_is_kept_with_the_incident() {
    let mut world = World::new();
    for c in ["web-1", "web-2"] {
        world.begin(c, 0, "/usr/sbin/nginx").exec(c, 10, (20, 10), &["/bin/sh", "-c", "x"], "image");
    }
    world.exec("web-2", 20, (21, 20), &["/tmp/x"], "upper");
    let [incident] = world.incidents()[..] else { panic!() };
    let shells = incident.alarms.iter().filter(|a| a.rule == "shell");
    let of: Vec<_> = shells.map(|a| a.subject["container"]["id"].as_str().unwrap()).collect();
    assert_eq!(of, ["web-1", "web-2"], "told alone only once, here both");
    assert_eq!(world.alarms().iter().filter(|a| a.rule == "shell").count(), 1);
}

#[test]
fn an_alarm_names_the_incident_that_was_told() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    world.exec("web-1", 100, (20, 10), &["/bin/sh"], "image").exec(
        "web-1",
        101,
        (21, 20),
        &["/tmp/x"],
        "upper",
    );
    let of: Vec<_> = world.alarms().iter().map(|a| a.incident.clone()).collect();
    assert_eq!(of, [None, Some(world.incidents()[0].id.clone())]);
    assert_eq!(world.alarms()[1].first, crate::time::format(at(101)));
}
