//! Pods as a kubelet makes them, by what containerd keeps of them and by what it says over CRI.

use std::path::Path;

use remora::manager::{
    Facts, Labels, Manager,
    cri::{Cri as Manages, Settings},
};
use remora::oci::Pod;
use remora_tests::{
    Bed, Containerd,
    bed::signal,
    containerd::LABELLED,
    cri::{Container, NAMESPACE, pairs},
};

use crate::{Watch, about, assert_absent, assert_late, can_run, containerd, running};

fn manages(containerd: &Containerd) -> Manages {
    Manages::new(&Settings { socket: containerd.socket() })
}

/// The two that know pods.
fn both(containerd: &Containerd) -> [Box<dyn Manager>; 2] {
    [Box::new(containerd::manages(containerd)), Box::new(manages(containerd))]
}

fn only(facts: &Facts, all: &Labels) -> Labels {
    let kubelets = |key: &String| !key.starts_with("io.kubernetes.");
    assert!(facts.image_labels.keys().all(|key| !key.starts_with("io.cri-containerd.")), "{facts:?}");
    all.iter().filter(|(key, _)| kubelets(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[test]
fn pods_and_their_containers_are_known() {
    if !can_run("pods_and_their_containers_are_known") {
        return;
    }
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    let mut cri = containerd.cri();
    let pod = cri.pod("web-0", &[("app", "web")], &[("io.remora.trace/front", "exec"), ("team", "x")]);
    let sleep = ["/bin/sleep", "1000"];
    let front = Container {
        labels: &[("tier", "front")],
        annotations: &[("a", "b")],
        ..Container::new("front", &sleep)
    };
    let back = Container { image: LABELLED, labels: &[("vendor", "own")], ..Container::new("back", &sleep) };
    let front = cri.run(&pod, &front);
    let back = cri.run(&pod, &back);
    for manager in both(&containerd) {
        let here = |id: &str| containerd::bundle(&containerd, "k8s.io", id);
        let facts = about(&*manager, &front, &here(&front)).expect("it is there");
        assert_eq!((facts.name.as_str(), facts.sandbox), ("front", false), "{}: {facts:?}", manager.name());
        assert_eq!(
            facts.pod,
            Some(Pod { name: "web-0".into(), namespace: NAMESPACE.into(), uid: "uid-web-0".into() })
        );
        assert_eq!(facts.pod_annotations["io.remora.trace/front"], "exec");
        assert_eq!((facts.pod_labels["app"].as_str(), facts.annotations["a"].as_str()), ("web", "b"));
        assert_eq!(only(&facts, &facts.labels), pairs(&[("tier", "front")]).into_iter().collect());
        assert_eq!(facts.image_name, "localhost/remora-test:latest");
        assert!(facts.image_id.starts_with("sha256:"), "{facts:?}");
        assert_eq!(facts.pid, Some(cri.pid(&front)));
        assert_eq!(Path::new(&facts.bundle), here(&front));

        let facts = about(&*manager, &back, &here(&back)).expect("it is there");
        assert_eq!(only(&facts, &facts.labels), pairs(&[("vendor", "own")]).into_iter().collect());
        assert_eq!(facts.image_labels["io.remora.trace"], "all", "{}: {facts:?}", manager.name());

        let pause = about(&*manager, &pod.id, &here(&pod.id)).expect("it is there");
        assert!(pause.sandbox && pause.pod_labels["app"] == "web", "{}: {pause:?}", manager.name());
        let mut all: Vec<_> = running(&*manager).into_iter().map(|f| (f.id, f.sandbox)).collect();
        all.sort();
        let mut expected = [(front.clone(), false), (back.clone(), false), (pod.id.clone(), true)];
        expected.sort();
        assert_eq!(all, expected, "{}", manager.name());
        assert_eq!(about(&*manager, "nobody", Path::new("")), None);
    }
    cri.stop_pod(&pod.id);
    both(&containerd).iter().for_each(|manager| assert_eq!(running(&**manager), [], "{}", manager.name()));
    cri.remove_pod(&pod.id);
    for manager in both(&containerd) {
        assert_eq!(about(&*manager, &front, Path::new("")), None, "{}", manager.name());
    }
}

/// This containerd has no events over CRI: it is looked at now and then.
#[test]
fn what_happens_is_told() {
    if !can_run("what_happens_is_told") {
        return;
    }
    let bed = Bed::cold();
    let mut containerd = Containerd::new(&bed);
    let mut cri = containerd.cri();
    let pod = cri.pod("web-0", &[("app", "web")], &[]);
    let sleep = ["/bin/sleep", "1000"];
    let early = cri.run(&pod, &Container::new("early", &sleep));
    let watch = Watch::of(manages(&containerd));
    assert_eq!(watch.known(&early, |_| true).pid, Some(cri.pid(&early)));
    let late = cri.run(&pod, &Container::new("late", &sleep));
    assert_eq!(watch.known(&late, |_| true).pod_labels["app"], "web");
    signal(cri.pid(&early), "KILL");
    watch.ended(&early);
    cri.stop(&late);
    cri.remove(&late);
    watch.ended(&late);
    containerd.kill();
    assert!(watch.end().is_err(), "the connection is gone");
    assert_absent(&manages(&containerd));
    containerd.start();
    assert!(running(&manages(&containerd)).iter().all(|facts| facts.id == pod.id));
}

#[test]
fn a_stopped_runtime_is_late_and_no_more() {
    if !can_run("a_stopped_runtime_is_late_and_no_more") {
        return;
    }
    let bed = Bed::cold();
    let containerd = Containerd::new(&bed);
    containerd.signal("STOP");
    assert_late(&manages(&containerd), "web");
    containerd.signal("CONT");
    assert_eq!(running(&manages(&containerd)), []);
}
