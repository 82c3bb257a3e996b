//! Units, processes and cgroups that no runtime made.

mod refusals;

use std::process::Child;

use remora_tests::{Bed, Bundle, Cgroup, run, wait_for};
use serde_json::Value;

fn attach(bed: &Bed, args: &[&str]) -> String {
    run(&mut bed.remora(&[&["attach"], args].concat()))
}

fn detach(bed: &Bed, name: &str) -> String {
    run(&mut bed.remora(&["detach", name]))
}

fn end(mut child: Child) {
    child.kill().expect("failed to kill");
    child.wait().expect("failed to wait");
}

fn executed(bed: &Bed, name: &str) -> Vec<String> {
    bed.events_of(name).named("exec").texts("process.executable.path")
}

/// Generations of a name, oldest first.
fn generations(bed: &Bed, name: &str) -> Vec<Value> {
    let all = bed.json("/v1/containers");
    let mut mine: Vec<Value> =
        all.as_array().expect("a list").iter().filter(|c| c["name"] == name).cloned().collect();
    mine.sort_by_key(|c| c["ledger"]["observed_from"].to_string());
    mine
}

/// A path with the links in it followed: /bin may be /usr/bin.
fn real(path: &str) -> String {
    std::fs::canonicalize(path).expect("no such file").display().to_string()
}

#[test]
fn a_cgroup_is_traced_with_all_below_it_and_nobody_beside_it() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    let before = Cgroup::new(Some(&group), "before");
    let other = Cgroup::new(None, &format!("{}-other", bed.name()));
    let sleeper = group.spawn(&["/bin/sleep", "1000"]);
    let said = attach(&bed, &["--cgroup", &group.relative(), "--name", "mine", "--trace", "exec"]);
    assert_eq!(said.trim(), "mine: in scope for exec (attached while it ran)");
    let view = bed.container("mine").expect("no container");
    assert_eq!((&view["state"], &view["identity"]["runtime"]), (&"running".into(), &"cgroup".into()));
    assert_eq!(
        (view["id"].as_str(), view["cgroup_id"].as_u64()),
        (Some(&*group.relative()), Some(group.id()))
    );
    let after = Cgroup::new(Some(&group), "after");
    for (at, program) in
        [(&group, "/bin/ls"), (&before, "/bin/true"), (&after, "/bin/id"), (&other, "/bin/date")]
    {
        run(&mut at.command(&[program]));
    }
    end(sleeper);
    after.remove();
    before.remove();
    group.remove();
    let view = bed.ended("mine");
    assert_eq!(view["ledger"]["late"], "attached while it ran");
    assert_eq!(executed(&bed, "mine"), ["/bin/ls", "/bin/true", "/bin/id"].map(real));
    assert_eq!(bed.events().named("exec").len(), 3, "somebody else's event");
    assert!(bed.metric("remora_container_info{").is_some());
    bed.assert_empty();
}

#[test]
fn a_process_is_traced_with_its_cgroup_until_both_have_ended() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    let sleeper = group.spawn(&["/bin/sleep", "1000"]);
    let pid = sleeper.id().to_string();
    attach(&bed, &["--pid", &pid, "--trace", "exec"]);
    let name = format!("sleep-{pid}");
    let view = bed.container(&name).expect("no container");
    assert_eq!((&view["identity"]["runtime"], view["pid"].to_string()), (&"pid".into(), pid));
    run(&mut group.command(&["/bin/ls"]));
    // Its account survives the daemon, and what happened meanwhile is in it.
    bed.kill();
    run(&mut group.command(&["/bin/true"]));
    bed.start();
    end(sleeper);
    let view = bed.ended(&name);
    assert_eq!(view["ledger"]["end"][0], "init exited", "{view}");
    assert_eq!(executed(&bed, &name), ["/bin/ls", "/bin/true"].map(real));
    bed.assert_empty();
}

#[test]
fn a_unit_is_followed_from_start_to_start_until_it_is_detached() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let slice = Cgroup::new(None, &format!("{}.slice", bed.name()));
    let unit = format!("{}.service", bed.name());
    let said = attach(&bed, &["--unit", bed.name().as_str(), "--name", "web", "--trace", "exec"]);
    assert_eq!(said.trim(), "web: pending for exec (it does not run)");
    assert_eq!(bed.container("web").expect("no container")["state"], "pending");
    assert!(bed.links().is_empty(), "nobody pays for what does not run");

    for program in ["/bin/ls", "/bin/true"] {
        let group = Cgroup::new(Some(&slice), &unit);
        let running = || bed.container("web").filter(|c| c["state"] == "running");
        let view = wait_for("the unit to be in scope", running);
        assert_eq!((view["cgroup_id"].as_u64(), &view["id"]), (Some(group.id()), &unit.as_str().into()));
        assert_eq!(view["ledger"].get("late"), None, "in scope before anything ran: {view}");
        run(&mut group.command(&[program]));
        group.remove();
        wait_for("the unit to be pending", || bed.container("web").filter(|c| c["state"] == "pending"));
    }
    wait_for("two generations to have ended", || {
        (generations(&bed, "web").iter().filter(|c| c["state"] == "ended").count() == 2).then_some(())
    });
    assert_eq!(executed(&bed, "web"), ["/bin/ls", "/bin/true"].map(real));

    // Started while the daemon is away: late, and told so.
    bed.stop();
    let group = Cgroup::new(Some(&slice), &unit);
    let sleeper = group.spawn(&["/bin/sleep", "1000"]);
    bed.start();
    let view =
        wait_for("the unit to be in scope", || bed.container("web").filter(|c| c["state"] == "running"));
    assert_eq!(view["ledger"]["late"], "attached while it ran");
    assert_eq!(detach(&bed, "web").trim(), format!("{unit}: detached"));
    // Of its own processes none may be beside its children, where those have limits.
    let leaf = Cgroup::new(Some(&group), "leaf");
    run(&mut leaf.command(&["/bin/date"]));
    leaf.remove();
    let view = bed.ended("web");
    assert_eq!(view["ledger"]["end"], serde_json::json!(["detached"]));
    assert_eq!(view["ledger"]["tracers"]["exec"]["counted"], 0, "what was detached has no events: {view}");
    end(sleeper);
    group.remove();

    // Neither this daemon nor the next takes it up again.
    bed.stop();
    bed.start();
    let group = Cgroup::new(Some(&slice), &unit);
    run(&mut group.command(&["/bin/id"]));
    bed.assert_empty();
    assert_eq!(generations(&bed, "web").len(), 3);
}

#[test]
fn what_is_detached_stays_so_after_a_crash() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let group = Cgroup::new(None, &format!("{}-group", bed.name()));
    attach(&bed, &["--cgroup", &group.relative(), "--name", "mine", "--trace", "exec"]);
    detach(&bed, "mine");
    bed.kill();
    bed.start();
    run(&mut group.command(&["/bin/ls"]));
    let view = bed.ended("mine");
    assert_eq!(view["ledger"]["end"], serde_json::json!(["detached"]), "{view}");
    assert_eq!(view["ledger"]["tracers"]["exec"]["counted"], 0, "{view}");
    bed.assert_empty();
}

#[test]
fn a_unit_is_not_mistaken_for_what_a_container_calls_so() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let unit = format!("{}.service", bed.name());
    let scope = Cgroup::new(None, &format!("{}.scope", bed.name()));
    let _fake = Cgroup::new(Some(&scope), &unit);
    let said = attach(&bed, &["--unit", &unit, "--trace", "exec"]);
    assert!(said.contains("pending"), "{said}");
    detach(&bed, &unit);
    assert!(bed.container(&unit).is_none());
}

#[test]
fn a_container_within_an_attached_cgroup_keeps_its_own_account() {
    let mut bed = Bed::tracing("exec");
    bed.start();
    let group = Cgroup::new(None, &format!("{}-around", bed.name()));
    let inner = |id: &str| {
        let path = format!("{}/{id}", group.relative());
        Bundle::with(
            &bed,
            id,
            &["/bin/sh", "-c", "while [ ! -e /tmp/go ]; do /bin/sleep 0.1; done; /bin/ls"],
            |config| {
                config["annotations"]["io.remora.trace"] = "exec".into();
                config["linux"]["cgroupsPath"] = path.into();
            },
        )
    };
    let (before, after) = (inner("before"), inner("after"));
    let mut children = vec![before.start()];
    wait_for("the container to run", || before.pid());
    attach(&bed, &["--cgroup", &group.path().display().to_string(), "--name", "around", "--trace", "exec"]);
    children.push(after.start());
    wait_for("the container to run", || after.pid());
    // Of its own processes none may be beside its children, where those have limits.
    let leaf = Cgroup::new(Some(&group), "leaf");
    run(&mut leaf.command(&["/bin/date"]));
    leaf.remove();
    for bundle in [&before, &after] {
        std::fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    }
    children.iter_mut().for_each(|c| drop(c.wait()));
    drop((before, after));
    for id in ["before", "after"] {
        bed.ended(id);
        assert!(executed(&bed, id).contains(&"/bin/ls".to_owned()), "{id}");
    }
    // The runtime's own program, too, if it was moved there before it executed itself; it has no name by then.
    let around = executed(&bed, "around");
    assert!(around.iter().filter(|path| *path != "/").eq([&real("/bin/date")]), "{around:?}");
    group.remove();
    bed.ended("around");
    bed.assert_empty();
}
