use super::*;
use serde_json::{Value, json};

/// An event of container `c` at a second.
fn event(second: u64, process: Value) -> Event {
    let json = json!({"time": crate::time::format((1_000_000 + second) * SECOND), "event": {"name": "x"},
        "container": {"id": "c", "name": "web"}, "process": process});
    Event::new(json.as_object().unwrap().clone()).unwrap()
}

fn executed(second: u64, pid: u64, parent: u64, path: &str) -> Event {
    event(second, json!({"pid": pid, "parent_pid": parent, "executable": {"path": path}}))
}

fn see(all: &mut Processes, event: &Event) -> Serial {
    all.see(event, Step::Executed).unwrap()
}

fn names<'p>(all: &'p Processes, serials: &[Serial]) -> Vec<&'p str> {
    serials.iter().filter_map(|s| all.get(*s)).map(Process::name).collect()
}

fn apart(all: &Processes, serial: Serial, second: u64) -> Vec<&str> {
    names(all, &all.lineage(serial, (1_000_000 + second) * SECOND).apart)
}

#[test]
fn a_subshell_that_only_forked_does_not_break_the_lineage() {
    let mut all = Processes::default();
    see(&mut all, &executed(0, 10, 1, "/usr/sbin/nginx"));
    see(&mut all, &executed(20, 11, 10, "/bin/sh"));
    let fork =
        json!({"pid": 13, "parent_pid": 12, "ancestor_pid": 11, "executable": {"path": "/usr/bin/id"}});
    let id = see(&mut all, &event(21, fork));
    assert_eq!(names(&all, &all.ancestors(id)), ["id", "sh", "nginx"]);
    assert_eq!(apart(&all, id, 21), ["id", "sh"]);
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let mut all = Processes::default();
    see(&mut all, &executed(0, 10, 1, "/main"));
    let first = see(&mut all, &executed(1, 11, 10, "/bin/one"));
    all.see(&executed(2, 11, 10, ""), Step::Ended);
    let late = event(3, json!({"pid": 11, "parent_pid": 10}));
    assert_eq!(all.see(&late, Step::Other), Some(first), "its last events come from another processor");
    let second = see(&mut all, &executed(4, 11, 10, "/bin/two"));
    assert_ne!(first, second);
    assert_eq!((all.get(first).unwrap().name(), all.get(second).unwrap().name()), ("one", "two"));
    let much_later = event(99, json!({"pid": 11, "parent_pid": 10, "vpid": 4711}));
    all.update(second, |p| p.vpid = Some(4));
    assert_ne!(all.see(&much_later, Step::Other), Some(second), "its end was not seen");
}

#[test]
fn copies_of_the_first_process_and_its_first_services_do_the_containers_own_work() {
    let mut all = Processes::default();
    see(&mut all, &executed(0, 10, 1, "/sbin/tini"));
    let server = see(&mut all, &executed(1, 11, 10, "/usr/sbin/server"));
    let worker =
        all.see(&event(2, json!({"pid": 12, "parent_pid": 11, "comm": "server"})), Step::Other).unwrap();
    let shell = see(&mut all, &executed(30, 13, 12, "/bin/sh"));
    assert_eq!(apart(&all, shell, 31), ["sh", "server", "server"], "nobody knows yet");
    assert_eq!(apart(&all, shell, 100), ["sh"]);
    let lineage = all.lineage(shell, (1_000_000 + 100) * SECOND);
    assert_eq!((lineage.base, lineage.outside), (Some(worker), false));
    assert!(apart(&all, server, 100).is_empty());
}

#[test]
fn what_has_no_parent_is_from_outside_if_the_beginning_was_seen() {
    let mut all = Processes::default();
    see(&mut all, &executed(0, 10, 1, "/main"));
    let session = see(&mut all, &executed(9, 20, 4, "/bin/bash"));
    assert!(all.lineage(session, 0).outside);
    let mut late = Processes::default();
    late.see(&event(0, json!({"pid": 50, "parent_pid": 40})), Step::Other);
    let unknown = see(&mut late, &executed(9, 51, 40, "/bin/bash"));
    assert!(!late.lineage(unknown, 0).outside);
}

#[test]
fn processes_are_bounded_and_the_first_one_stays() {
    let mut all = Processes::default();
    let main = see(&mut all, &executed(0, 10, 1, "/main"));
    for pid in 0..5000 {
        see(&mut all, &executed(1, 1000 + pid, 10, "/bin/true"));
    }
    assert_eq!(all.processes.len(), OF_ONE);
    assert_eq!(all.evicted(), (0, 5001 - OF_ONE as u64));
    assert!(all.get(main).is_some());
    let full = all.memory();
    all.forget("c");
    assert_eq!((all.memory(), all.processes.len()), (0, 0));
    assert!(full > OF_ONE * 100);
}
