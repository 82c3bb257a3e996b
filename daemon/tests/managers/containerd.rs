//! containerd's containers as ctr makes them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use remora::manager::{
    Labels, Manager,
    containerd::{Containerd as Manages, Settings},
};
use remora_tests::{Bed, Bundle, Containerd, bed::signal, containerd::LABELLED, output, run, wait_for};
use serde_json::json;

use crate::{Watch, about, assert_absent, assert_late, can_run, running};

const SLEEP: [&str; 2] = ["/bin/sleep", "1000"];

pub fn manages(containerd: &Containerd) -> Manages {
    Manages::new(&Settings { socket: containerd.socket(), state: Some(containerd.state()) })
}

pub fn bundle(containerd: &Containerd, namespace: &str, id: &str) -> PathBuf {
    containerd.state().join("io.containerd.runtime.v2.task").join(namespace).join(id)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn ours(labels: &Labels) -> Labels {
    // containerd adds some of its own.
    labels
        .iter()
        .filter(|(k, _)| !k.starts_with("io.containerd."))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

#[test]
fn a_containers_labels_are_told_from_its_images() {
    if !can_run("a_containers_labels_are_told_from_its_images") {
        return;
    }
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    let manager = manages(&containerd);
    containerd.run("own", &["-d", "--label", "app=web", "--label", "io.remora.trace=exec"], &SLEEP);
    run(&mut containerd.run_command("image", &["-d", "--label", "vendor=own"], LABELLED, &SLEEP));

    let place = bundle(&containerd, containerd.namespace(), "own");
    let own = about(&manager, "own", &place).expect("it is there");
    assert_eq!(ours(&own.labels), labels(&[("app", "web"), ("io.remora.trace", "exec")]));
    assert_eq!((own.image_labels.len(), own.pod.is_none(), own.sandbox), (0, true, false), "{own:?}");
    assert_eq!((own.name.as_str(), own.image_name.as_str()), ("own", "localhost/remora-test:latest"));
    assert_eq!(own.image_id, image_id(&containerd, "localhost/remora-test:latest"));
    assert_eq!((own.pid, own.bundle.as_str()), (containerd.init("own"), place.to_str().expect("text")));

    // Where nobody says where it is, it is found all the same.
    let image = about(&manager, "image", Path::new("")).expect("it is there");
    assert_eq!(ours(&image.labels), labels(&[("vendor", "own")]), "{image:?}");
    assert_eq!(image.image_labels, labels(&[("io.remora.trace", "all"), ("vendor", "image")]));
    assert_eq!(about(&manager, "nobody", Path::new("")), None);
    assert_eq!(about(&manager, "nobody", &bundle(&containerd, containerd.namespace(), "nobody")), None);
    assert_eq!(about(&manager, "own", &bundle(&containerd, "elsewhere", "own")), None);

    let mut all = running(&manager);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(all, [image, own.clone()]);
    signal(own.pid.expect("a pid"), "KILL");
    wait_for("it to be no longer among those that run", || (running(&manager).len() == 1).then_some(()));
    // Its record and its bundle are still there, and what is in its place is nobody's init.
    assert_eq!(about(&manager, "own", &place).map(|facts| facts.pid), Some(None));

    // Once the image is gone, nobody knows whose the labels were.
    run(&mut containerd.ctr(&["images", "rm", "--sync", &format!("{LABELLED}:latest")]));
    let image = about(&manager, "image", Path::new("")).expect("it is there");
    assert_eq!((image.labels.len(), image.image_labels["io.remora.trace"].as_str()), (0, "all"), "{image:?}");
}

/// The image's configuration, by ctr.
fn image_id(containerd: &Containerd, name: &str) -> String {
    let listed = run(&mut containerd.ctr(&["images", "ls", &format!("name=={name}")]));
    let digest = listed.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    let manifest = run(&mut containerd.ctr(&["content", "get", digest]));
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("not JSON");
    manifest["config"]["digest"].as_str().expect("a digest").to_owned()
}

/// The container's hook waits for somebody who asks about the container.
#[test]
fn a_container_is_known_while_its_hook_waits() {
    if !can_run("a_container_is_known_while_its_hook_waits") {
        return;
    }
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    let manager = manages(&containerd);
    let (waits, go) = (bed.path("waits"), bed.path("go"));
    let script = format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done", waits.display(), go.display());
    let waiting = Bundle::with(&bed, "waiting", &["/bin/true"], |config| {
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 60 }]);
        config["hooks"] = json!({ "createRuntime": hook });
    });
    std::thread::scope(|scope| {
        let started = scope.spawn(|| containerd.run_bundle(&waiting, &["--rm", "--label", "app=web"]));
        wait_for("the hook", || waits.exists().then_some(()));
        let begun = Instant::now();
        let facts = about(&manager, "waiting", &bundle(&containerd, containerd.namespace(), "waiting"));
        let all = running(&manager);
        let took = begun.elapsed();
        std::fs::write(&go, "").expect("failed to write");
        started.join().expect("the container failed");
        let facts = facts.expect("it is there");
        assert_eq!((facts.labels, facts.pid), (labels(&[("app", "web")]), None));
        assert!(all.is_empty(), "{all:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn what_happens_is_told() {
    if !can_run("what_happens_is_told") {
        return;
    }
    let bed = Bed::cold();
    let mut containerd = Containerd::new(&bed);
    let watch = Watch::of(manages(&containerd));
    // The stream has no beginning that could be seen: who starts until one is told knows that it has begun.
    let mut starts = 0..;
    wait_for("the watch", || {
        containerd.run(&format!("early-{}", starts.next()?), &["--rm"], &["/bin/true"]);
        watch.news.try_recv().ok()
    });
    containerd.run("web", &["-d", "--label", "app=web"], &SLEEP);
    let facts = watch.known("web", |_| true);
    assert_eq!((facts.pid, facts.labels["app"].as_str()), (containerd.init("web"), "web"));
    run(&mut containerd.ctr(&["containers", "label", "web", "io.remora.trace=exec"]));
    let facts = watch.known("web", |facts| facts.labels.contains_key("io.remora.trace"));
    assert_eq!(facts.pid, containerd.init("web"));
    // An exec's end is not the container's.
    run(&mut containerd.ctr(&["tasks", "exec", "--exec-id", "other", "web", "/bin/true"]));
    containerd.run("after", &["-d"], &SLEEP);
    watch.next("what came after the exec", |one| {
        assert!(!matches!(one, remora::manager::News::Ended { id } if id == "web"), "{one:?}");
        matches!(one, remora::manager::News::Known(facts) if facts.id == "after")
    });
    signal(containerd.init("web").expect("it runs"), "KILL");
    watch.ended("web");
    // A shim that is killed takes its container along, by containerd's hand.
    signal(Containerd::shim(containerd.init("after").expect("it runs")), "KILL");
    watch.ended("after");
    containerd.kill();
    assert!(watch.end().is_err(), "the connection is gone");
    assert_absent(&manages(&containerd));
    containerd.start();
    assert_eq!(running(&manages(&containerd)), []);
}

#[test]
fn a_stopped_containerd_is_late_and_no_more() {
    if !can_run("a_stopped_containerd_is_late_and_no_more") {
        return;
    }
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    let manager = manages(&containerd);
    containerd.run("web", &["-d"], &SLEEP);
    containerd.signal("STOP");
    assert_late(&manager, "web");
    containerd.signal("CONT");
    assert!(about(&manager, "web", Path::new("")).is_some());
}

/// docker's containers are docker's.
#[test]
fn those_of_docker_are_left_to_docker() {
    if !can_run("those_of_docker_are_left_to_docker") {
        return;
    }
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    let manager = manages(&containerd);
    let mut command = Command::new("ctr");
    command.arg("--address").arg(containerd.socket()).args(["--namespace", "moby", "containers", "create"]);
    let root = bed.path("root");
    std::fs::create_dir(&root).expect("failed to make a folder");
    command.arg("--rootfs").arg(root).args(["dockers", "/bin/true"]).stdin(Stdio::null());
    let made = output(&mut command);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(about(&manager, "dockers", Path::new("")), None);
    assert_eq!(about(&manager, "dockers", &bundle(&containerd, "moby", "dockers")), None);
    assert_eq!(manager.name(), "containerd");
}
