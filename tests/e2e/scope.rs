//! Each event lands on the right container and tracer: nested cgroups, exec, restart, two at once.

use std::time::Duration;

use remora_tests::{Bed, Bundle, wait_for};

#[test]
fn exec_into_a_running_container() {
    let bed = Bed::new();
    let bundle = Bundle::new(&bed, "exec-into", "exec", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    wait_for("the container to run", || bundle.pid());
    bundle.exec(&["/bin/echo", "hello from exec"]);
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("exec-into");
    let events = bed.events();
    let execs = events.named("exec");
    // The runtime's own way into the container is not the container's doing.
    assert_eq!(execs.texts("process.executable.path"), ["/bin/sleep", "/bin/echo"], "{execs:?}");
    assert_eq!(execs.0[1]["process"]["command_args"][1], "hello from exec");
    bed.assert_empty();
}

#[test]
fn nested_cgroups_belong_to_their_container() {
    let bed = Bed::new();
    let script = "mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup) 2>/dev/null || cd /sys/fs/cgroup; \
        mkdir -p a/b/c && sh -c 'echo $$ > a/b/c/cgroup.procs && exec /bin/uname' && sh -c 'echo $$ > cgroup.procs; rmdir a/b/c a/b a'; /bin/true";
    let bundle = Bundle::new(&bed, "nested", "exec", &["/bin/sh", "-c", script]);
    bundle.run();
    drop(bundle);
    let ended = bed.ended("nested");
    let paths = bed.events().named("exec").texts("process.executable.path");
    assert!(paths.contains(&"/bin/uname".to_owned()), "{paths:?} {ended}");
    assert_eq!(paths.last().map(String::as_str), Some("/bin/true"), "{paths:?}");
    bed.assert_empty();
}

#[test]
fn the_same_id_again_is_another_generation() {
    let bed = Bed::new();
    for round in 0..3 {
        let bundle = Bundle::new(&bed, "again", "exec", &["/bin/echo", &format!("round {round}")]);
        bundle.run();
        drop(bundle);
        bed.ended("again");
    }
    let all = bed.json("/v1/containers");
    let cgroups: std::collections::BTreeSet<_> =
        all.as_array().expect("list").iter().map(|c| c["cgroup_id"].as_u64()).collect();
    assert_eq!(cgroups.len(), 3, "{all}");
    assert_eq!(bed.events().named("exec").len(), 3);
    bed.assert_empty();
}

#[test]
fn two_containers_with_different_tracers() {
    // They wait for each other, and opening files goes on meanwhile.
    let mut bed = Bed::tracing("exec,file").with("limits", "history_bytes = \"64MiB\"");
    bed.start();
    let script = [
        "/bin/sh",
        "-c",
        "while [ ! -e /tmp/go ]; do /bin/sleep 0.05; done; /bin/cat /etc/passwd >/dev/null",
    ];
    let one = Bundle::new(&bed, "one", "exec", &script);
    let two = Bundle::new(&bed, "two", "file", &script);
    let none = Bundle::new(&bed, "none", "", &script);
    let mut children: Vec<_> = [&one, &two, &none].iter().map(|b| b.start()).collect();
    for bundle in [&one, &two, &none] {
        wait_for("the container to run", || bundle.pid());
        std::fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    }
    children.iter_mut().for_each(|c| drop(c.wait()));
    drop((one, two, none));
    bed.ended("one");
    bed.ended("two");
    let events = bed.events();
    assert_eq!(
        events.len(),
        events.of_container("one").len() + events.of_container("two").len(),
        "somebody else's event"
    );
    let tracers = |name| events.of_container(name).texts("event.tracer");
    assert!(tracers("one").iter().all(|t| t == "exec"));
    assert!(tracers("two").iter().all(|t| t == "file"));
    let opened = events.of_container("two").named("open").texts("file.path").join(" ");
    assert!(events.of_container("one").texts("process.executable.path").contains(&"/bin/cat".to_owned()));
    assert!(!opened.is_empty());
    bed.assert_empty();
}

#[test]
fn nothing_is_attached_while_nobody_has_opted_in() {
    let bed = Bed::cold().with("tracers", "detach_after = \"1s\"");
    let mut bed = bed;
    bed.start();
    assert!(bed.links().is_empty());
    let bundle = Bundle::new(&bed, "only", "exec", &["/bin/sleep", "0.3"]);
    let mut child = bundle.start();
    wait_for("links", || (!bed.links().is_empty()).then_some(()));
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("only");
    std::thread::sleep(Duration::from_millis(100));
    bed.assert_empty();
}
