//! A containerd that has nothing of ours in its configuration, and a plugin that adds the hooks.

use std::fs;

use remora_tests::{Bed, Bundle, Containerd, Cri, Events, cri::Container, wait_for};
use serde_json::Value;

const SCRIPT: [&str; 3] = ["/bin/sh", "-c", "/bin/ls / >/dev/null; exit 0"];
const FOREVER: [&str; 2] = ["/bin/sleep", "1000000"];

fn bed() -> Bed {
    let bed = Bed::cold();
    let lines = [
        "enabled = true".to_owned(),
        format!("socket = {:?}", Containerd::nri_socket(&bed)),
        format!("hook = {:?}", Containerd::nri_hook(&bed)),
    ];
    lines.into_iter().fold(bed, |bed, line| bed.with("managers.nri", &line))
}

/// Both there, and connected.
fn connected() -> (Bed, Containerd, Cri) {
    let mut bed = bed();
    let containerd = Containerd::with_nri(&bed);
    bed.start();
    wait_taken_on(&bed, 1);
    let cri = containerd.cri();
    (bed, containerd, cri)
}

fn wait_taken_on(bed: &Bed, times: usize) {
    wait_for("the plugin to be taken on", || {
        (bed.log().matches("taken on as an NRI plugin").count() >= times).then_some(())
    });
}

fn traced_from_the_first_exec(bed: &Bed, name: &str, pod: &str) {
    let ended = bed.ended(name);
    assert_eq!(ended["ledger"].get("late"), None, "{ended}");
    let events: Events = bed.events_of(name);
    let first = events.first();
    assert_eq!(first["event"]["name"], "exec", "{first}");
    assert_eq!(first["process"]["executable"]["path"], "/bin/sh", "{first}");
    assert_eq!(
        (&first["k8s"]["pod"]["name"], &first["k8s"]["namespace"]["name"]),
        (&pod.into(), &"shop".into())
    );
    assert_eq!(events.named("exec").len(), 2, "{events:?}");
    assert_eq!(events.named("exit").len(), 2, "{events:?}");
}

/// What the runtime was told to call, by stage.
fn hooks<'a>(spec: &'a Value, stage: &str) -> Vec<&'a str> {
    let hooks = spec["hooks"][stage].as_array().map(Vec::as_slice).unwrap_or_default();
    hooks.iter().filter_map(|hook| hook["path"].as_str()).collect()
}

fn never_seen(bed: &Bed, names: &[&str]) {
    let events = bed.events().only(|e| names.iter().any(|name| e["container"]["name"] == *name));
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn annotations_and_pod_labels_ask_and_neighbours_do_not() {
    let (bed, containerd, mut cri) = connected();
    let pod =
        cri.pod("annotated", &[], &[("io.remora.trace/front", "exec"), ("io.remora.trace/later", "exec")]);
    for name in ["front", "neighbour"] {
        cri.run(&pod, &Container::new(name, &SCRIPT));
    }
    let labelled = cri.pod("labelled", &[("io.remora.trace", "exec")], &[]);
    cri.run(&labelled, &Container::new("by-label", &SCRIPT));
    let plain = cri.pod("plain", &[("app", "shop")], &[]);
    cri.run(
        &plain,
        &Container { annotations: &[("io.remora.trace", "exec")], ..Container::new("by-itself", &SCRIPT) },
    );
    cri.run(&plain, &Container::new("other", &SCRIPT));

    traced_from_the_first_exec(&bed, "front", "annotated");
    traced_from_the_first_exec(&bed, "by-label", "labelled");
    traced_from_the_first_exec(&bed, "by-itself", "plain");
    never_seen(&bed, &["neighbour", "other"]);

    let later = cri.run(&pod, &Container::new("later", &FOREVER));
    let spec = containerd.spec(&later);
    let hook = Containerd::nri_hook(&bed);
    let hook = hook.to_str().expect("a path");
    assert_eq!((hooks(&spec, "createRuntime"), hooks(&spec, "poststop")), (vec![hook], vec![hook]), "{spec}");
    assert_eq!(spec["annotations"]["io.remora.trace/later"], "exec", "{spec}");
    let quiet = cri.run(&pod, &Container::new("quiet", &FOREVER));
    assert_eq!(containerd.spec(&quiet).get("hooks"), None);
    cri.stop(&later);
    assert_eq!(bed.ended("later")["ledger"].get("late"), None);
    for pod in [pod, labelled, plain] {
        cri.stop_pod(&pod.id);
    }
    bed.assert_empty();
}

#[test]
fn what_ran_before_is_found_and_a_restart_of_containerd_is_got_over() {
    let (mut bed, mut containerd) = {
        let bed = bed();
        let containerd = Containerd::with_nri(&bed);
        (bed, containerd)
    };
    let before = containerd.cri().pod("before", &[("io.remora.trace", "exec")], &[]);
    containerd.cri().run(&before, &Container::new("early", &FOREVER));
    bed.start();
    let early = wait_for("the container that ran before", || bed.container("early"));
    assert_eq!(
        (&early["state"], &early["identity"]["pod"]["name"]),
        (&"running".into(), &"before".into()),
        "{early}"
    );
    assert!(early["ledger"]["late"].as_str().is_some_and(|late| late.contains("NRI")), "{early}");

    containerd.kill();
    containerd.start();
    wait_taken_on(&bed, 2);
    let mut cri = containerd.cri();
    let after = cri.pod("after", &[("io.remora.trace", "exec")], &[]);
    cri.run(&after, &Container::new("late", &SCRIPT));
    traced_from_the_first_exec(&bed, "late", "after");
}

#[test]
fn a_hook_that_is_missing_or_a_daemon_that_is_stopped_holds_no_container_up() {
    let (bed, containerd, mut cri) = connected();
    let asking = [("io.remora.trace", "exec")];
    let pod = cri.pod("asking", &asking, &[]);
    fs::remove_file(Containerd::nri_hook(&bed)).expect("no hook");
    let id = cri.run(&pod, &Container::new("hookless", &FOREVER));
    assert_eq!(containerd.spec(&id).get("hooks"), None);
    assert_eq!(bed.log().matches("start without our hook").count(), 1, "{}", bed.log());

    // containerd gives a plugin two seconds, and then goes on without it.
    bed.signal("STOP");
    let id = cri.run(&pod, &Container::new("unanswered", &FOREVER));
    assert_eq!(containerd.spec(&id).get("hooks"), None);
    bed.signal("CONT");
    wait_taken_on(&bed, 2);
    // What is there when the connection is made anew is found.
    for name in ["hookless", "unanswered"] {
        wait_for(name, || bed.container(name).filter(|c| c["state"] == "running"));
    }
}

#[test]
fn a_containerd_that_is_stopped_does_not_hold_the_daemon_up() {
    let (bed, containerd, mut cri) = connected();
    containerd.signal("STOP");
    let log = bed.log().len();
    let bundle = Bundle::new(&bed, "meanwhile", "exec", &SCRIPT);
    bundle.run();
    assert_eq!(bed.ended("meanwhile")["ledger"].get("late"), None);
    assert!(!bed.log()[log..].contains("NRI"), "{}", bed.log());
    containerd.signal("CONT");
    let pod = cri.pod("resumed", &[("io.remora.trace", "exec")], &[]);
    cri.run(&pod, &Container::new("resumed", &SCRIPT));
    traced_from_the_first_exec(&bed, "resumed", "resumed");
}
