use prost::Message;

use super::super::adjust::{adjust, facts};
use super::*;

fn adjusted(
    hook: &HookCall,
    rules: &Rules,
    container: Container,
    pod: PodSandbox,
) -> Option<ContainerAdjustment> {
    adjust(CreateContainerRequest { pod: Some(pod), container: Some(container) }, rules, hook)
}

/// With a hook that is there and the rules of every installation: what is asked for.
fn traced(container: Container, pod: PodSandbox) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let hook = HookCall::new(installed(dir.path()), Vec::new());
    let adjustment = adjusted(&hook, &Rules::default(), container, pod)?;
    let mut ours = adjustment.annotations.into_iter().filter(|(key, _)| key.starts_with("io.remora."));
    Some(ours.next().unwrap().1)
}

#[test]
fn an_adjustment_is_as_written_down() {
    let hook = HookCall::new("/bin/sh".into(), Vec::new());
    let annotations = labels(&[("io.remora.trace", "exec")]);
    let web = Container { id: "1".into(), annotations, ..Container::default() };
    let adjust = adjusted(&hook, &Rules::default(), web, PodSandbox::default());
    let expected = [
        b"\x0a\x6c".as_slice(),
        b"\x12\x17\x0a\x0fio.remora.trace\x12\x04exec",
        b"\x2a\x51",
        b"\x12\x29\x0a\x07/bin/sh\x12\x0bremora-hook\x12\x0dcreateRuntime\x22\x02\x08\x02",
        b"\x32\x24\x0a\x07/bin/sh\x12\x0bremora-hook\x12\x08poststop\x22\x02\x08\x02",
    ];
    assert_eq!(CreateContainerResponse { adjust }.encode_to_vec(), expected.concat());
}

#[test]
fn annotations_and_labels_of_pods_ask_and_those_of_images_do_not() {
    let asks = |value| [("io.remora.trace", value)];
    assert_eq!(traced(container("1", &asks("a")), pod(&asks("b"), &asks("c"))).as_deref(), Some("a"));
    assert_eq!(traced(container("1", &[]), pod(&asks("b"), &asks("c"))).as_deref(), Some("b"));
    assert_eq!(traced(container("1", &[]), pod(&[], &asks("c"))).as_deref(), Some("c"));
    assert_eq!(traced(container("1", &[]), pod(&[], &[])), None);
    let labelled = Container { labels: labels(&asks("d")), ..container("1", &[]) };
    assert_eq!(traced(labelled, pod(&[], &[])), None);
    assert_eq!(traced(container("1", &asks("none")), pod(&[], &asks("c"))), None);
    let named = [("io.remora.trace/db", "a")];
    assert_eq!(traced(container("1", &[]), pod(&named, &[])), None);
    let db = Container { name: "db".into(), ..container("1", &[]) };
    assert_eq!(traced(db, pod(&named, &[])).as_deref(), Some("a"));
}

#[test]
fn the_pod_s_annotations_count_like_the_container_s_own_even_without_labels() {
    let dir = tempfile::tempdir().unwrap();
    let hook = HookCall::new(installed(dir.path()), Vec::new());
    let mut rules = Rules::default();
    rules.labels.opt_in = false;
    let asks = [("io.remora.trace", "a"), ("io.remora.required", "true")];
    let adjustment = adjusted(&hook, &rules, container("1", &[]), pod(&asks, &[])).unwrap();
    assert_eq!(adjustment.annotations["io.remora.required"], "true");
    assert_eq!(adjusted(&hook, &rules, container("1", &[]), pod(&[], &asks)), None);
}

#[test]
fn names_are_added_where_the_runtime_lacks_them() {
    let dir = tempfile::tempdir().unwrap();
    let options = ["--socket", "/s"].map(ToOwned::to_owned).to_vec();
    let hook = HookCall::new(installed(dir.path()), options);
    let known = [("io.remora.trace", "exec"), ("io.kubernetes.cri.container-name", "front")];
    let adjustment = adjusted(&hook, &Rules::default(), container("1", &known), pod(&[], &[])).unwrap();
    let expected = [
        ("io.kubernetes.cri.sandbox-name", "web-0"),
        ("io.kubernetes.cri.sandbox-namespace", "prod"),
        ("io.kubernetes.cri.sandbox-uid", "u-1"),
        ("io.remora.trace", "exec"),
    ];
    assert_eq!(adjustment.annotations, labels(&expected));
    let hooks = adjustment.hooks.unwrap();
    assert_eq!(hooks.poststop[0].args, ["remora-hook", "--socket", "/s", "poststop"]);
    assert!(hooks.prestart.is_empty());
}

#[test]
fn hooks_that_are_there_already_are_not_added_again() {
    let dir = tempfile::tempdir().unwrap();
    let hook = HookCall::new(installed(dir.path()), Vec::new());
    let ours = Hook { path: "/opt/remora-hook".into(), ..Hook::default() };
    let hooks = |hooks: Hooks| {
        let container = Container { hooks: Some(hooks), ..container("1", &[("io.remora.trace", "exec")]) };
        let hooks = adjusted(&hook, &Rules::default(), container, pod(&[], &[])).unwrap().hooks.unwrap();
        (hooks.create_runtime.len(), hooks.poststop.len())
    };
    let other = Hook { path: "/opt/other".into(), ..Hook::default() };
    assert_eq!(hooks(Hooks { create_runtime: vec![other], ..Hooks::default() }), (1, 1));
    assert_eq!(hooks(Hooks { prestart: vec![ours.clone()], ..Hooks::default() }), (0, 1));
    let both = Hooks { create_runtime: vec![ours.clone()], poststop: vec![ours], ..Hooks::default() };
    assert_eq!(hooks(both), (0, 0));
}

#[test]
fn a_hook_that_is_missing_or_cannot_run_stops_no_container() {
    let dir = tempfile::tempdir().unwrap();
    let hook = HookCall::new(dir.path().join("remora-hook"), Vec::new());
    let asks = || container("1", &[("io.remora.trace", "exec"), ("io.remora.required", "true")]);
    let added = || adjusted(&hook, &Rules::default(), asks(), pod(&[], &[])).is_some();
    assert!(!added());
    fs::create_dir(dir.path().join("remora-hook")).unwrap();
    assert!(!added());
    fs::remove_dir(dir.path().join("remora-hook")).unwrap();
    fs::write(dir.path().join("remora-hook"), "").unwrap();
    assert!(!added());
    installed(dir.path());
    assert!(added());
}

#[test]
fn what_a_container_says_without_end_is_not_handed_on() {
    let long = "x,".repeat(200 << 10);
    assert_eq!(traced(container("1", &[("io.remora.trace", &long)]), pod(&[], &[])), None);
    assert_eq!(
        traced(container("1", &[("io.remora.trace", &long[..4000])]), pod(&[], &[])).map(|v| v.len()),
        Some(4000)
    );
}

#[test]
fn a_pause_container_is_known_as_one() {
    let pause =
        container("1", &[("io.kubernetes.cri.container-type", "sandbox"), ("io.remora.trace", "exec")]);
    assert!(facts(pause.clone(), None).sandbox);
    assert_eq!(traced(pause, pod(&[], &[])), None);
    assert!(!facts(container("1", &[("io.kubernetes.cri.container-type", "container")]), None).sandbox);
}
