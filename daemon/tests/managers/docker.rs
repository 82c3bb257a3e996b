//! docker, asked through its own socket and files.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use remora::manager::{
    Facts, Manager, ManagerError, News,
    docker::{Docker as Manages, Settings},
};
use remora_tests::{Docker, run, script, wait_for};

use crate::{Watch, can_run, wait};

fn manager(docker: &Docker) -> Manages {
    Manages::new(&Settings { socket: docker.socket(), data_root: docker.data_root() })
}

fn about(docker: &Docker, id: &str) -> Option<Facts> {
    wait(manager(docker).about(id, Path::new(""))).expect("an answer")
}

fn running(docker: &Docker) -> Vec<String> {
    let mut names: Vec<String> =
        wait(manager(docker).running()).expect("an answer").into_iter().map(|facts| facts.name).collect();
    names.sort();
    names
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn names_images_and_whose_labels() {
    if !can_run("names_images_and_whose_labels") {
        return;
    }
    let docker = Docker::new("{}");
    docker.run("maker", &[], &["true"]);
    let change = ["--change", "LABEL io.remora.trace=all", "--change", "LABEL tier=image"];
    run(docker.command(&["commit"]).args(change).args(["maker", "localhost/labelled:2"]));
    let mut web = docker.command(&["run", "--detach", "--network", "none", "--name", "web"]);
    web.args(["--label", "tier=own", "--label", "app=sh\"op\n", "localhost/labelled:2", "sleep", "1000"]);
    let id = run(&mut web).trim().to_owned();

    let facts = about(&docker, &id).expect("a container");
    assert_eq!((facts.name.as_str(), facts.image_name.as_str()), ("web", "localhost/labelled:2"));
    assert_eq!(facts.labels, labels(&[("app", "sh\"op\n"), ("tier", "own")]));
    assert_eq!(facts.image_labels, labels(&[("io.remora.trace", "all"), ("tier", "image")]));
    assert_eq!(facts.pid, Some(docker.init("web")));
    let image = run(&mut docker.command(&["inspect", "--format", "{{.Image}}", "web"]));
    assert_eq!(facts.image_id, image.trim());
    assert_eq!(running(&docker), ["web"]);
    assert_eq!(about(&docker, &"0".repeat(64)), None);

    // An image that is gone takes the knowledge of whose its labels were with it.
    run(&mut docker.command(&["rm", "maker"]));
    run(&mut docker.command(&["rm", "--force", "web"]));
    assert_eq!((about(&docker, &id), running(&docker)), (None, Vec::new()));
}

#[test]
fn is_asked_while_it_waits_for_a_start() {
    if !can_run("is_asked_while_it_waits_for_a_start") {
        return;
    }
    let docker = Docker::new("{}");
    let (gate, slow) = (docker.path("gate"), docker.path("slow"));
    fs::write(&gate, "").expect("failed to write a file");
    let text = format!(
        "case \" $* \" in *' create '*) while [ -e {} ]; do sleep 0.02; done ;; esac\nexec runc \"$@\"",
        gate.display()
    );
    script(&slow, &text);
    fs::write(docker.config(), format!("{{\"runtimes\":{{\"slow\":{{\"path\":\"{}\"}}}}}}", slow.display()))
        .expect("failed to write daemon.json");
    docker.signal("HUP");
    wait_for("docker to know the runtime", || {
        let info = run(&mut docker.command(&["info", "--format", "{{json .Runtimes}}"]));
        info.contains("slow").then_some(())
    });
    let options = ["--detach", "--runtime", "slow", "--label", "app=shop"];
    let mut starting =
        docker.run_command("waits", &options, &["sleep", "1000"]).spawn().expect("failed to start docker");
    let bundles = docker.path("exec/containerd/daemon/io.containerd.runtime.v2.task/moby");
    let id = wait_for("the runtime to be called", || {
        let id = fs::read_dir(&bundles).ok()?.flatten().next()?.file_name().into_string().ok()?;
        bundles.join(&id).join("config.json").exists().then_some(id)
    });
    let facts = about(&docker, &id).expect("a container");
    assert_eq!((facts.name.as_str(), facts.labels, facts.pid), ("waits", labels(&[("app", "shop")]), None));
    assert_eq!(running(&docker), Vec::<String>::new());
    fs::remove_file(gate).expect("failed to remove a file");
    assert!(starting.wait().expect("failed to wait").success());
    assert_eq!(running(&docker), ["waits"]);
}

#[test]
fn events_tell_starts_and_ends() {
    if !can_run("events_tell_starts_and_ends") {
        return;
    }
    let docker = Docker::new("{}");
    let watch = Watch::of(manager(&docker));
    let docker_does = |args: &[&str]| run(&mut docker.command(args)).trim().to_owned();
    // Events that come before the stream has begun are nobody's.
    let mut rounds = 0;
    let facts = wait_for("the first news", || {
        rounds += 1;
        docker.run(&format!("early-{rounds}"), &["--detach", "--label", "app=shop"], &["sleep", "1000"]);
        match watch.news.recv_timeout(Duration::from_secs(1)).ok()? {
            News::Known(facts) => Some(facts),
            other => panic!("{other:?}"),
        }
    });
    let name = facts.name.as_str();
    assert_eq!((name, &facts.labels), (format!("early-{rounds}").as_str(), &labels(&[("app", "shop")])));
    let init = docker.init(name);
    assert_eq!(facts.pid, Some(init));

    docker_does(&["rename", name, "later"]);
    watch.known(&facts.id, |later| later.name == "later");
    run(Command::new("kill").args(["-KILL", &init.to_string()]));
    watch.ended(&facts.id);
    docker_does(&["start", "later"]);
    watch.known(&facts.id, |again| again.pid != Some(init));
    docker_does(&["rm", "--force", "later"]);
    watch.ended(&facts.id);

    docker.signal("KILL");
    let end = watch.end();
    assert!(matches!(end, Ok(()) | Err(ManagerError::Failed { .. })), "{end:?}");
}

#[test]
fn stopped_or_gone_blocks_nobody() {
    if !can_run("stopped_or_gone_blocks_nobody") {
        return;
    }
    let mut docker = Docker::new("{}");
    let id = docker.run("web", &["--detach", "--label", "app=shop"], &["sleep", "1000"]);
    docker.signal("STOP");
    assert!(matches!(wait(manager(&docker).running()), Err(ManagerError::Late { .. })));
    let (sender, _news) = tokio::sync::mpsc::channel(1);
    assert!(matches!(wait(manager(&docker).watch(sender)), Err(ManagerError::Late { .. })));
    assert_eq!(about(&docker, &id).expect("a container").labels, labels(&[("app", "shop")]));
    docker.signal("CONT");
    wait_for("docker to answer again", || wait(manager(&docker).running()).ok());

    docker.kill();
    assert!(matches!(wait(manager(&docker).running()), Err(ManagerError::Absent { .. })));
    assert_eq!(about(&docker, &id).expect("a container").name, "web");
    docker.start();
    assert_eq!(running(&docker), ["web"]);
}
