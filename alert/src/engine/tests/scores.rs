use super::support::World;
use crate::alarm::Severity;

#[test]
fn notes_are_never_told_alone() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    for n in 0..100 {
        world.exec("web-1", 100 + n, (100 + n, 10), &["/bin/ls", &format!("/{n}")], "image");
    }
    assert!(world.told.is_empty());
    assert_eq!(world.engine.counts().alarms_raw, 0);
    world.exec("web-1", 300, (20, 10), &["/tmp/x"], "upper").exec(
        "web-1",
        301,
        (21, 20),
        &["/bin/ls"],
        "image",
    );
    world.tick(5000);
    let incident = world.incidents()[0];
    assert!(incident.alarms.iter().any(|a| a.severity == Severity::Info), "but with what else there is");
    assert_eq!(incident.score, 10.0);
    assert_eq!(incident.tags, ["defense-evasion"], "their tactics do not count");
}

#[test]
fn several_tactics_make_an_incident_of_what_alone_would_not_be_one() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    world.exec("web-1", 100, (20, 10), &["/bin/sh"], "image").open(
        "web-1",
        101,
        20,
        "/etc/shadow",
        "O_RDONLY",
    );
    assert!(world.incidents().is_empty(), "4 + 4");
    world.exec("web-1", 102, (21, 20), &["/usr/bin/curl", "http://h/"], "image");
    assert_eq!(world.incidents()[0].score, 13.5, "(4 + 4 + 1) × 1.5");
}

#[test]
fn it_is_told_again_when_there_is_much_more_to_it_but_not_at_once() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    world.exec("web-1", 100, (20, 10), &["/tmp/x"], "upper");
    assert_eq!(world.tellings().len(), 1);
    world.open("web-1", 101, 20, "/etc/shadow", "O_RDONLY");
    assert_eq!(world.tellings().len(), 1, "a new tactic, too soon");
    world.tick(399);
    assert_eq!(world.tellings().len(), 1);
    world.tick(400);
    assert_eq!(world.tellings().len(), 2);
    world.tick(800);
    assert_eq!(world.tellings().len(), 2, "nothing new");
    assert_eq!(world.tellings()[0].id, world.tellings()[1].id);
}

#[test]
fn a_new_severity_does_not_wait() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    world
        .exec("web-1", 100, (20, 10), &["/bin/sh"], "image")
        .open("web-1", 101, 20, "/etc/shadow", "O_RDONLY")
        .exec("web-1", 102, (21, 20), &["/usr/bin/curl", "http://h/"], "image");
    assert_eq!(world.tellings().last().unwrap().severity, Severity::Medium);
    world.exec("web-1", 103, (22, 20), &["/tmp/x"], "upper");
    assert_eq!(world.tellings().last().unwrap().severity, Severity::High);
}

#[test]
fn what_came_of_something_grave_is_not_learned() {
    let mut world = World::new();
    world.begin("web-1", 0, "/usr/sbin/nginx");
    world.open("web-1", 50, 10, "/srv/page", "O_RDONLY");
    let learned =
        |world: &World| world.engine.profiles().iter().map(|p| p.entries + p.waiting).sum::<usize>();
    let before = learned(&world);
    world.exec("web-1", 100, (20, 10), &["/bin/sh"], "image").open("web-1", 101, 20, "/srv/odd", "O_RDONLY");
    world.exec("web-1", 102, (21, 20), &["/bin/true"], "image").open(
        "web-1",
        103,
        21,
        "/srv/odder",
        "O_RDONLY",
    );
    assert_eq!(learned(&world), before);
    world.open("web-1", 104, 10, "/var/own", "O_RDONLY");
    assert!(learned(&world) > before, "what the server itself does still is");
}
