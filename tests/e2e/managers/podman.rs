//! podman's labels, which are no annotations: read from its database while the hook waits.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use remora_tests::{Bed, Podman, podman::IMAGE, run, wait_for};
use serde_json::Value;

const SCRIPT: [&str; 3] = ["sh", "-c", "/bin/ls / >/dev/null; exit 0"];
const LABEL: &str = "io.remora.trace=exec";

/// A bed that knows its podman, whose hook is called for everybody; the daemon is not started yet.
fn cold() -> (Bed, Podman) {
    let bed = Bed::cold();
    let podman = Podman::new(&bed).with_labels(&bed);
    let storage = format!("storage = [\"{}\"]", podman.storage().display());
    (bed.with("managers.podman", &storage), podman)
}

fn warm() -> (Bed, Podman) {
    let (mut bed, podman) = cold();
    bed.start();
    (bed, podman)
}

/// A container that does nothing.
fn sleeper(podman: &Podman, name: &str, options: &[&str]) {
    podman.run(name, &[&["--detach"], options].concat(), &["sleep", "1000"]);
}

fn uname(podman: &Podman, name: &str) {
    run(&mut podman.command(&["exec", name, "uname"]));
}

fn remove(podman: &Podman, name: &str) {
    run(&mut podman.command(&["rm", "--force", "--time", "0", name]));
}

/// An image with these labels, made from the test image.
fn labelled_image(podman: &Podman, name: &str, label: &str) {
    run(&mut podman.command(&["create", "--name", "base", IMAGE, "true"]));
    run(&mut podman.command(&["commit", "--quiet", "--change", &format!("LABEL {label}"), "base", name]));
    remove(podman, "base");
}

fn executed(bed: &Bed, name: &str) -> Vec<String> {
    bed.events_of(name).named("exec").texts("process.executable.path")
}

fn late(view: &Value) -> &str {
    view["ledger"]["late"].as_str().unwrap_or_else(|| panic!("not late: {view}"))
}

/// In scope and not on its way out.
fn running(bed: &Bed, name: &str) -> Option<Value> {
    bed.container(name).filter(|view| view["state"] == "running")
}

#[test]
fn a_label_is_as_good_as_an_annotation() {
    let (bed, podman) = warm();
    podman.run("labelled", &["--label", LABEL], &SCRIPT);
    podman.run("neighbour", &[], &SCRIPT);
    podman.run("annotated", &["--annotation", LABEL], &SCRIPT);
    // podman's labels cannot keep a container from starting, whatever they say.
    podman.run("odd", &["--label", "io.remora.trace=,", "--label", "io.remora.required=true"], &SCRIPT);
    for name in ["labelled", "annotated"] {
        let ended = bed.ended(name);
        assert_eq!(ended["ledger"].get("late"), None, "{name}: {ended}");
        assert_eq!(executed(&bed, name), ["/bin/sh", "/bin/ls"], "{name}");
        let first = bed.events_of(name).first().clone();
        assert_eq!(first["container"]["image"]["name"], format!("{IMAGE}:latest"), "{first}");
        assert_eq!(first["container"]["id"], podman.id(name), "{first}");
    }
    assert!(bed.container("neighbour").is_none() && bed.container("odd").is_none());
    assert_eq!(bed.value("remora_manager_up", &[("manager", "podman")]), Some(1.0));
    let log = fs::read_to_string(bed.path("hook.log")).unwrap_or_default();
    assert!(!log.contains("error") && !log.contains(&podman.id("neighbour")), "{log}");
    assert!(!bed.log().contains(&podman.id("neighbour")), "a neighbour is not worth a line");
    bed.assert_empty();
}

#[test]
fn an_image_speaks_for_itself_only_if_allowed() {
    for allowed in [false, true] {
        let (bed, podman) = cold();
        let mut bed = bed.with("labels", &format!("image = {allowed}"));
        labelled_image(&podman, "localhost/labelled", LABEL);
        bed.start();
        let mut of_image = podman.command(&["run", "--name", "of-image", "localhost/labelled"]);
        run(of_image.args(SCRIPT));
        let mut own = podman.command(&["run", "--name", "own", "--label", "io.remora.trace=exec file"]);
        run(own.arg("localhost/labelled").args(SCRIPT));
        assert_eq!(bed.ended("own")["tracers"].as_array().map(Vec::len), Some(2));
        if allowed {
            assert_eq!(bed.ended("of-image")["ledger"].get("late"), None);
            assert_eq!(executed(&bed, "of-image"), ["/bin/sh", "/bin/ls"]);
        } else {
            assert!(bed.container("of-image").is_none());
        }
        bed.assert_empty();
    }
}

#[test]
fn pods_and_names_are_known() {
    let (bed, podman) = cold();
    let mut bed = bed.with("labels", "identity = [\"app\", \"team/name\"]");
    bed.start();
    let pod = ["pod", "create", "--infra=false", "--name", "shop", "--label", "app=a\"b", "--label", LABEL];
    run(&mut podman.command(&pod));
    podman.run("web", &["--pod", "shop"], &SCRIPT);
    let ended = bed.ended("web");
    assert_eq!(ended["identity"]["pod"]["name"], "shop", "{ended}");
    let first = bed.events_of("web").first().clone();
    assert_eq!(first["k8s"]["pod"]["label"]["app"], "a\"b", "{first}");
    assert_eq!(first["k8s"]["pod"]["name"], "shop", "{first}");
    let info = bed.series("remora_container_info");
    assert!(
        info.iter().any(|s| s.label("pod") == Some("shop") && s.name == "remora_container_info"),
        "{info:?}"
    );
    assert!(bed.get("/metrics").contains("k8s_pod_label_app=\"a\\\""));
    run(&mut podman.command(&["pod", "rm", "--force", "shop"]));
    bed.assert_empty();
}

#[test]
fn who_started_unannounced_is_found_late() {
    let (mut bed, podman) = cold();
    sleeper(&podman, "early", &["--label", LABEL]);
    sleeper(&podman, "annotated", &["--annotation", LABEL]);
    sleeper(&podman, "neighbour", &[]);
    // The annotated one's notice waits in the spool; without it the list must find it.
    fs::remove_dir_all(bed.path("state/spool")).expect("no spool");
    bed.start();
    for name in ["early", "annotated"] {
        let view = wait_for("the container to be found", || running(&bed, name));
        let late = late(&view);
        assert!(late.starts_with("found by podman (no hook announced it), "), "{late}");
        assert!(late.ends_with(" s after its start"), "{late}");
    }
    podman.without_hook();
    sleeper(&podman, "hookless", &["--label", LABEL]);
    wait_for("the container to be found", || running(&bed, "hookless"));
    for name in ["early", "hookless"] {
        uname(&podman, name);
        wait_for("its exec", || executed(&bed, name).contains(&"/bin/uname".to_owned()).then_some(()));
    }
    for name in ["early", "annotated", "hookless", "neighbour"] {
        remove(&podman, name);
    }
    bed.ended("hookless");
    assert!(bed.container("neighbour").is_none());
    bed.assert_empty();
}

#[test]
fn a_restarted_container_is_a_new_generation_of_the_same_name() {
    let (bed, podman) = warm();
    sleeper(&podman, "again", &["--label", LABEL]);
    let first = wait_for("the first generation", || running(&bed, "again"));
    run(&mut podman.command(&["restart", "--time", "0", "again"]));
    let second = wait_for("the second generation", || {
        running(&bed, "again").filter(|view| view["cgroup_id"] != first["cgroup_id"])
    });
    assert_eq!((&second["id"], &second["name"]), (&first["id"], &first["name"]));
    assert_eq!(second["ledger"].get("late"), None, "{second}");
    assert_eq!(second["identity"]["image_id"], first["identity"]["image_id"]);
    remove(&podman, "again");
    bed.assert_empty();
}

/// Writes the configuration anew with this rule and tells the daemon.
fn reload(bed: &Bed, select: &str) {
    let config = bed.write_config();
    let text = fs::read_to_string(&config).expect("no configuration");
    fs::write(&config, format!("{text}{select}")).expect("failed to write");
    let said = bed.log().matches("configuration").count();
    bed.signal("HUP");
    wait_for("the configuration to be read", || {
        (bed.log().matches("configuration").count() > said).then_some(())
    });
}

#[test]
fn rules_that_change_take_up_and_let_go() {
    const RULE: &str = "[[select]]\nname = \"sel-*\"\nimage = \"*/remora-test:*\"\ntrace = \"exec\"\n";
    let (bed, podman) = warm();
    for name in ["sel-a", "sel-b", "other"] {
        sleeper(&podman, name, &[]);
    }
    sleeper(&podman, "labelled", &["--label", LABEL]);
    wait_for("the labelled one", || running(&bed, "labelled"));
    assert!(["sel-a", "sel-b", "other"].iter().all(|name| bed.container(name).is_none()));

    reload(&bed, RULE);
    for name in ["sel-a", "sel-b"] {
        let view = wait_for("the selected", || running(&bed, name));
        assert!(late(&view).starts_with("found by podman (selected since the rules changed), "), "{view}");
    }
    uname(&podman, "sel-a");
    wait_for("its exec", || executed(&bed, "sel-a").contains(&"/bin/uname".to_owned()).then_some(()));
    podman.run("sel-new", &[], &SCRIPT);
    assert_eq!(bed.ended("sel-new")["ledger"].get("late"), None);

    // What a person switched on stays; a file that cannot be meant changes nothing.
    run(&mut bed.remora(&["tracer", "on", "file", "sel-b"]));
    reload(&bed, "[[select]]\nname = \"sel-*\"\ntrace = \"B!\"\n");
    assert!(bed.log().contains("select[0].trace") && running(&bed, "sel-a").is_some());
    reload(&bed, "");
    let ended = bed.ended("sel-a");
    assert_eq!(ended["ledger"]["end"][0], "no longer selected", "{ended}");
    let kept = wait_for("the rule's tracer to go", || {
        running(&bed, "sel-b").filter(|view| view["tracers"] == serde_json::json!(["file"]))
    });
    assert_eq!(kept["ledger"]["changes"][1]["change"], "no longer selected", "{kept}");
    assert!(running(&bed, "labelled").is_some());
    let before = executed(&bed, "sel-a").len();
    uname(&podman, "sel-a");

    reload(&bed, RULE);
    wait_for("it to be selected again", || running(&bed, "sel-a"));
    assert_eq!(executed(&bed, "sel-a").len(), before);
    let all = bed.json("/v1/containers");
    let accounts = all.as_array().expect("a list").iter().filter(|c| c["name"] == "sel-a").count();
    assert_eq!(accounts, 2, "{all}");
    for name in ["sel-a", "sel-b", "other", "labelled"] {
        remove(&podman, name);
    }
    bed.assert_empty();
}

#[test]
fn the_chosen_are_known_to_the_next_daemon() {
    let (mut bed, podman) = warm();
    sleeper(&podman, "kept", &["--label", LABEL]);
    wait_for("the container", || running(&bed, "kept"));
    assert!(bed.path("ask").exists(), "hooks must be told to ask");
    bed.stop();
    assert!(!bed.path("ask").exists(), "a daemon that is gone costs nothing");
    podman.run("missed", &["--label", LABEL], &SCRIPT);
    bed.start();
    let view = running(&bed, "kept").expect("it is in scope from the start");
    assert_eq!(view["ledger"].get("late"), None, "{view}");
    let mut bed = bed.with("labels", "opt_in = false");
    reload(&bed, "");
    assert_eq!(bed.ended("kept")["ledger"]["end"][0], "no longer selected");
    wait_for("the marker to go", || (!bed.path("ask").exists()).then_some(()));
    bed.kill();
    remove(&podman, "kept");
    bed.start();
    bed.assert_empty();
}

/// Somebody who keeps a database of podman's kind locked, and never lets go by itself.
struct Lock(Child);

impl Lock {
    fn on(podman: &Podman) -> Self {
        const HOLD: &str = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            db.execute('CREATE TABLE ContainerConfig(ID TEXT, Name TEXT, PodID TEXT, JSON TEXT)')\n\
            db.execute('CREATE TABLE ContainerState(ID TEXT, JSON TEXT)')\n\
            db.execute('CREATE TABLE PodConfig(ID TEXT, JSON TEXT)')\n\
            db.execute('BEGIN EXCLUSIVE')\n\
            print('locked', flush=True)\n\
            sys.stdin.read()\n";
        let mut command = Command::new("python3");
        command.args(["-c", HOLD]).arg(podman.storage().join("db.sql"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("failed to start python3");
        let mut line = String::new();
        let told = child.stdout.take().expect("piped");
        BufReader::new(told).read_line(&mut line).expect("failed to read");
        assert_eq!(line, "locked\n");
        Self(child)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_database_that_does_not_answer_holds_nobody_up() {
    let (bed, podman) = warm();
    let lock = Lock::on(&podman);
    let start = std::time::Instant::now();
    sleeper(&podman, "waiting", &["--label", LABEL]);
    sleeper(&podman, "neighbour", &[]);
    podman.run("annotated", &["--annotation", LABEL], &SCRIPT);
    let took = start.elapsed();
    assert_eq!(bed.ended("annotated")["ledger"].get("late"), None);
    assert!(bed.container("waiting").is_none(), "nobody can know of it, after {took:?}");
    drop(lock);
    let view = wait_for("it to be known", || running(&bed, "waiting"));
    assert!(late(&view).contains("podman"), "{view}");
    uname(&podman, "waiting");
    wait_for("its exec", || executed(&bed, "waiting").contains(&"/bin/uname".to_owned()).then_some(()));
    assert!(bed.container("neighbour").is_none());
    for name in ["waiting", "neighbour"] {
        remove(&podman, name);
    }
    bed.assert_empty();
}
