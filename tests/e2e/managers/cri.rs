//! Pods as a kubelet makes them, with containerd's CRI plugin and our hook in its base specification.

use remora_tests::{
    Bed, Containerd, Cri,
    bed::signal,
    cri::{Container, NAMESPACE, Pod},
    run,
};

use super::assert_first_exec;

const WAITS: [&str; 3] = ["/bin/sh", "-c", "/bin/ls / >/dev/null; while true; do sleep 1; done"];

/// A pod's container, by id: names are those of many.
fn view(bed: &Bed, id: &str) -> serde_json::Value {
    bed.container(id).unwrap_or_else(|| panic!("no account of {id}"))
}

fn assert_identity(bed: &Bed, id: &str, name: &str, pod: &str) {
    let view = view(bed, id);
    assert_eq!(view["name"], name, "{view}");
    let identity = &view["identity"];
    assert_eq!(identity["image_name"], "localhost/remora-test:latest", "{view}");
    assert_eq!(identity["runtime"], "runc", "{view}");
    let expected = serde_json::json!({ "name": pod, "namespace": NAMESPACE, "uid": format!("uid-{pod}") });
    assert_eq!(identity["pod"], expected, "{view}");
    assert_eq!(view["ledger"].get("late"), None, "{view}");
    assert_first_exec(bed, id, "/bin/sh");
    let events = bed.events_of(id);
    let first = events.first();
    assert_eq!(first["k8s"]["pod"]["name"], pod, "{first}");
    assert_eq!(first["k8s"]["namespace"]["name"], NAMESPACE, "{first}");
    assert_eq!(first["container"]["name"], name, "{first}");
}

/// Those that have an account, by id.
fn accounts(bed: &Bed) -> Vec<String> {
    let all = bed.json("/v1/containers");
    let mut ids: Vec<String> =
        all.as_array().expect("a list").iter().map(|c| c["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

fn sorted(ids: &[&String]) -> Vec<String> {
    let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
    ids.sort();
    ids
}

#[test]
fn a_pods_containers_ask_each_for_itself_or_together() {
    let bed = Bed::new();
    let containerd = Containerd::new(&bed);
    let mut cri = containerd.cri();
    // All of a pod, one of a pod by its name, one by its own annotation, nobody.
    let whole = cri.pod("whole", &[], &[("io.remora.trace", "exec")]);
    let named = cri.pod("named", &[], &[("io.remora.trace/web", "exec")]);
    let plain = cri.pod("plain", &[], &[]);
    let web = Container::new("web", &WAITS);
    let db = Container::new("db", &WAITS);
    let whole_web = cri.run(&whole, &web);
    let whole_db = cri.run(&whole, &db);
    let named_web = cri.run(&named, &web);
    let named_db = cri.run(&named, &db);
    let annotated = cri.run(&plain, &Container { annotations: &[("io.remora.trace", "exec")], ..web });
    let neighbour = cri.run(&plain, &db);
    let traced = [
        (&whole_web, "web", "whole"),
        (&whole_db, "db", "whole"),
        (&named_web, "web", "named"),
        (&annotated, "web", "plain"),
    ];
    for (id, name, pod) in traced {
        assert_identity(&bed, id, name, pod);
    }
    // Neither pause containers nor neighbours.
    assert_eq!(accounts(&bed), sorted(&[&whole_web, &whole_db, &named_web, &annotated]));
    let strangers = bed.events().only(|e| {
        let id = &e["container"]["id"];
        [&named_db, &neighbour, &whole.id, &named.id, &plain.id].iter().any(|other| id == other.as_str())
    });
    assert!(strangers.is_empty(), "{strangers:?}");
    for pod in [&whole, &named, &plain] {
        cri.stop_pod(&pod.id);
        cri.remove_pod(&pod.id);
    }
    for (id, ..) in traced {
        bed.ended(id);
    }
    bed.assert_empty();
}

fn start(cri: &mut Cri, pod: &Pod, name: &str) -> String {
    cri.run(pod, &Container::new(name, &WAITS))
}

#[test]
fn every_end_is_seen() {
    let bed = Bed::new();
    let mut containerd = Containerd::new(&bed);
    let mut cri = containerd.cri();
    let pod = cri.pod("web-0", &[], &[("io.remora.trace", "exec")]);
    let killed = start(&mut cri, &pod, "killed");
    signal(cri.pid(&killed), "KILL");
    bed.ended(&killed);
    let stopped = start(&mut cri, &pod, "stopped");
    cri.stop(&stopped);
    bed.ended(&stopped);
    cri.remove(&stopped);
    // A restart, as a kubelet makes it: the same name, another container.
    cri.remove(&killed);
    let again = start(&mut cri, &pod, "killed");
    assert_identity(&bed, &again, "killed", "web-0");
    cri.stop_pod(&pod.id);
    bed.ended(&again);
    cri.remove_pod(&pod.id);
    // The pod's shim is that of all its containers.
    let pod = cri.pod("web-1", &[], &[("io.remora.trace", "exec")]);
    let orphan = start(&mut cri, &pod, "orphan");
    let init = cri.pid(&orphan);
    signal(Containerd::shim(init), "KILL");
    bed.ended(&orphan);
    let pod = cri.pod("web-2", &[], &[("io.remora.trace", "exec")]);
    let last = start(&mut cri, &pod, "last");
    let init = cri.pid(&last);
    containerd.kill();
    assert_eq!(view(&bed, &last)["state"], "running");
    signal(init, "KILL");
    bed.ended(&last);
    containerd.start();
    run(&mut containerd.ctr(&["version"]));
    bed.assert_empty();
}
