use super::support::World;

/// A build: a shell that a job starts, each time in a container of its own.
fn build(world: &mut World, n: u64) {
    let (c, second) = (format!("job-{n}"), n * 3600);
    world.begin(&c, second, "/usr/bin/make");
    world.exec(&c, second + 100, (20, 10), &["/bin/sh", "-c", "x"], "image");
}

#[test]
fn what_three_containers_did_is_a_habit_and_adds_nothing() {
    let mut world = World::new();
    (0..4).for_each(|n| build(&mut world, n));
    let told = world.alarms().len();
    world.open("job-3", 3 * 3600 + 101, 20, "/etc/shadow", "O_RDONLY");
    world.exec("job-3", 3 * 3600 + 102, (22, 20), &["/usr/bin/curl", "http://h/"], "image");
    assert!(world.incidents().is_empty(), "4 + 1, of two tactics");
    assert_eq!((told, world.engine.counts().alarms_raw), (1, 6), "but counted");
    world.exec("job-3", 3 * 3600 + 103, (21, 20), &["/tmp/x"], "upper");
    let [incident] = world.incidents()[..] else { panic!() };
    assert!(incident.alarms.iter().any(|alarm| alarm.rule == "shell"), "and in the story");
}

#[test]
fn what_took_part_in_something_grave_is_no_habit() {
    let mut world = World::new();
    build(&mut world, 0);
    world.exec("job-0", 101, (21, 20), &["/tmp/x"], "upper");
    (1..5).for_each(|n| build(&mut world, n));
    let at = 4 * 3600;
    world.open("job-4", at + 101, 20, "/etc/shadow", "O_RDONLY");
    world.exec("job-4", at + 102, (22, 20), &["/usr/bin/curl", "http://h/"], "image");
    assert_eq!(world.incidents().last().unwrap().score, 13.5);
}
