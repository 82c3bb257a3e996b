//! Labels, which runtimes never see: the hook asks the daemon, and the daemon the manager.

use remora_tests::{
    Bed, Containerd, Docker, bed::signal, containerd::LABELLED, cri::Container, run, wait_for,
};

use super::{assert_first_exec, docker::binaries};

const ASKS: (&str, &str) = ("io.remora.trace", "exec");
const SCRIPT: [&str; 3] = ["/bin/sh", "-c", "/bin/ls / >/dev/null; exit 0"];
const WAITS: [&str; 3] = ["/bin/sh", "-c", "/bin/ls / >/dev/null; while true; do sleep 1; done"];

/// A containerd and a bed that knows it.
fn with_containerd() -> (Bed, Containerd) {
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    let socket = format!("socket = {:?}", containerd.socket());
    let state = format!("state = {:?}", containerd.state());
    let mut bed = bed.with("managers.containerd", &socket).with("managers.containerd", &state);
    bed.start();
    wait_for("containerd to be known", || {
        bed.value("remora_manager_up", &[("manager", "containerd")]).filter(|up| *up == 1.0)
    });
    (bed, containerd)
}

fn assert_from_the_start(bed: &Bed, id: &str) {
    let ended = bed.ended(id);
    assert_eq!(ended["ledger"].get("late"), None, "{ended}");
    assert_first_exec(bed, id, "/bin/sh");
    assert_eq!(bed.events_of(id).named("exec").len(), 2, "{ended}");
}

#[test]
fn of_pods_and_of_their_containers() {
    let (bed, containerd) = with_containerd();
    let mut cri = containerd.cri();
    let plain = cri.pod("plain", &[], &[]);
    let pod = cri.pod("labelled", &[ASKS], &[]);
    let own = cri.run(&plain, &Container { labels: &[ASKS], ..Container::new("own", &SCRIPT) });
    let of_pod = cri.run(&pod, &Container::new("of-pod", &SCRIPT));
    // What an image says is not what whoever starts a container says.
    let image = cri.run(&plain, &Container { image: LABELLED, ..Container::new("of-image", &SCRIPT) });
    let neighbour = cri.run(&plain, &Container::new("neighbour", &SCRIPT));
    for (id, pod) in [(&own, "plain"), (&of_pod, "labelled")] {
        assert_from_the_start(&bed, id);
        let identity = bed.container(id).expect("an account")["identity"].clone();
        assert_eq!(identity["pod"]["name"], pod, "{identity}");
    }
    assert!(bed.container(&image).is_none() && bed.container(&neighbour).is_none());
    for pod in [&plain, &pod] {
        cri.stop_pod(&pod.id);
        cri.remove_pod(&pod.id);
    }
    bed.assert_empty();
}

/// Labels of a container that runs come and go.
#[test]
fn that_change_while_it_runs() {
    let (bed, containerd) = with_containerd();
    let wrapper = containerd.wrapper();
    containerd.run("web", &[&wrapper[0], &wrapper[1], "-d"], &WAITS);
    assert!(bed.container("web").is_none());
    run(&mut containerd.ctr(&["containers", "label", "web", "io.remora.trace=exec"]));
    let view = wait_for("it to be taken up", || bed.container("web"));
    assert!(view["ledger"]["late"].as_str().is_some_and(|late| late.contains("containerd")), "{view}");
    wait_for("an exec", || (!bed.events_of("web").named("exec").is_empty()).then_some(()));
    run(&mut containerd.ctr(&["containers", "label", "web", "io.remora.trace="]));
    let view = bed.ended("web");
    assert_eq!(view["ledger"]["end"][0], "no longer selected", "{view}");
    signal(containerd.init("web").expect("it runs"), "KILL");
    bed.assert_empty();
}

#[test]
fn of_docker() {
    let bed = Bed::cold();
    let bin = binaries(&bed);
    let config = format!("{{\"runtimes\":{{\"remora\":{{\"path\":\"{}/remora-runtime\"}}}}}}", bin.display());
    let docker = Docker::new(&config);
    let socket = format!("socket = {:?}", docker.socket());
    let data = format!("data_root = {:?}", docker.data_root());
    let mut bed = bed.with("managers.docker", &socket).with("managers.docker", &data);
    bed.start();
    let options = ["--detach", "--runtime", "remora"];
    let web = docker.run("web", &[&options[..], &["--label", "io.remora.trace=exec"]].concat(), &SCRIPT);
    docker.run("neighbour", &options, &SCRIPT);
    assert_from_the_start(&bed, &web);
    let identity = bed.container(&web).expect("an account")["identity"].clone();
    assert_eq!(identity["image_name"], remora_tests::docker::IMAGE, "{identity}");
    assert_eq!(bed.container(&web).expect("an account")["name"], "web");
    assert_eq!(bed.json("/v1/containers").as_array().map(Vec::len), Some(1), "the neighbour is known");
    bed.assert_empty();
}
