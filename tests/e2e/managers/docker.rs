//! docker, through its own socket and files, and with the wrapper as its runtime.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use remora::manager::docker::Settings;
use remora::manager::{Facts, Manager, ManagerError, News};
use remora_tests::{Bed, Docker, build_dir, output, patience, run, wait_for};
use tokio::sync::mpsc;

/// As remora sees it.
fn manager(docker: &Docker) -> remora::manager::docker::Docker {
    let settings = Settings { socket: docker.socket(), data_root: docker.data_root() };
    remora::manager::docker::Docker::new(&settings)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(patience(), work).await.expect("it takes for ever") })
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

pub fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("failed to write a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("failed to write a script");
}

/// A folder with hook and wrapper that know this bed. docker 20.10 passes no annotations: the wrapper's stand-in
/// adds one to each container whose command line says so.
pub fn binaries(bed: &Bed) -> PathBuf {
    let dir = bed.path("bin");
    fs::create_dir_all(&dir).expect("failed to make a folder");
    let build = build_dir();
    let args = bed.hook_args().join(" ");
    script(&dir.join("remora-hook"), &format!("exec {}/remora-hook {args} \"$@\"", build.display()));
    let wrapper = format!(
        r#"bundle= last=
for arg; do
    [ "$last" != --bundle ] || bundle=$arg
    last=$arg
done
if [ -n "$bundle" ] && grep -q traced-please "$bundle/config.json"; then
    jq '.annotations["io.remora.trace"] = "exec"' "$bundle/config.json" >"$bundle/new" && mv "$bundle/new" "$bundle/config.json"
fi
REMORA_HOOK={}/remora-hook exec {}/remora-runtime "$@""#,
        dir.display(),
        build.display()
    );
    script(&dir.join("remora-runtime"), &wrapper);
    dir
}

#[test]
fn docker_tells_names_images_and_whose_labels() {
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
fn docker_is_asked_while_it_waits_for_a_start() {
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
fn docker_events_tell_starts_and_ends() {
    let docker = Docker::new("{}");
    let manager = manager(&docker);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut news) = mpsc::channel(64);
        let watch = tokio::spawn(async move { manager.watch(sender).await });
        let mut next = async || {
            tokio::time::timeout(patience(), news.recv()).await.expect("no news").expect("the stream ended")
        };
        let docker_does = |args: &[&str]| run(&mut docker.command(args)).trim().to_owned();
        // Events that come before the stream has begun are nobody's.
        let mut known = None;
        for round in 0.. {
            let name = format!("early-{round}");
            docker.run(&name, &["--detach", "--label", "app=shop"], &["sleep", "1000"]);
            if let Ok(first) = tokio::time::timeout(Duration::from_secs(1), next()).await {
                known = Some((name, first));
                break;
            }
        }
        let (name, first) = known.expect("some round");
        let News::Known(facts) = first else { panic!("{first:?}") };
        assert_eq!((facts.name.as_str(), &facts.labels), (name.as_str(), &labels(&[("app", "shop")])));
        let init = docker.init(&name);
        assert_eq!(facts.pid, Some(init));

        docker_does(&["rename", &name, "later"]);
        assert!(matches!(next().await, News::Known(facts) if facts.name == "later"));
        run(Command::new("kill").args(["-KILL", &init.to_string()]));
        assert_eq!(next().await, News::Ended { id: facts.id.clone() });
        docker_does(&["start", "later"]);
        assert!(
            matches!(next().await, News::Known(again) if again.id == facts.id && again.pid != Some(init))
        );
        docker_does(&["rm", "--force", "later"]);
        // Its death and its removal.
        assert_eq!(next().await, News::Ended { id: facts.id.clone() });
        assert_eq!(next().await, News::Ended { id: facts.id });

        docker.signal("KILL");
        let end = tokio::time::timeout(patience(), watch).await.expect("the stream goes on").expect("a task");
        assert!(matches!(end, Ok(()) | Err(ManagerError::Failed { .. })), "{end:?}");
    });
}

#[test]
fn docker_stopped_or_gone_blocks_nobody() {
    let mut docker = Docker::new("{}");
    let id = docker.run("web", &["--detach", "--label", "app=shop"], &["sleep", "1000"]);
    docker.signal("STOP");
    assert!(matches!(wait(manager(&docker).running()), Err(ManagerError::Late { .. })));
    let (sender, _news) = mpsc::channel(1);
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

#[test]
fn docker_containers_are_traced_from_their_first_exec() {
    let bed = Bed::new();
    let bin = binaries(&bed);
    let config = format!("{{\"runtimes\":{{\"remora\":{{\"path\":\"{}/remora-runtime\"}}}}}}", bin.display());
    let mut docker = Docker::new(&config);
    let options = ["--detach", "--runtime", "remora", "--env", "WANTS=traced-please"];
    let web = docker.run("web", &options, &["sh", "-c", "/bin/ls / >/dev/null; sleep 1000"]);
    docker.run("neighbour", &["--runtime", "remora"], &["/bin/ls", "/"]);
    let view = bed.container(&web).expect("the container is known");
    assert_eq!((view["ledger"].get("late"), &view["pid"]), (None, &docker.init("web").into()), "{view}");
    wait_for("its events", || (bed.events_of(&web).named("exec").len() >= 3).then_some(()));
    let events = bed.events_of(&web);
    let first = events.first();
    assert_eq!(first["event"]["name"], "exec", "{first}");
    assert_eq!(first["process"]["executable"]["path"], "/bin/sh", "{first}");
    assert_eq!(bed.json("/v1/containers").as_array().map(Vec::len), Some(1), "the neighbour is known");

    // kill -9 of init; then once more, as a new generation; then by force.
    run(Command::new("kill").args(["-KILL", &docker.init("web").to_string()]));
    bed.ended(&web);
    run(&mut docker.command(&["start", "web"]));
    let again = wait_for("the new generation", || bed.container(&web).filter(|c| c["state"] != "ended"));
    assert_eq!(again["pid"], docker.init("web"), "{again}");
    assert_eq!(again["cgroup_path"], view["cgroup_path"], "{again}");
    assert_ne!(again["cgroup_id"], view["cgroup_id"], "{again}");
    run(&mut docker.command(&["rm", "--force", "web"]));
    bed.ended(&web);

    // docker may come and go while its containers run.
    let long = docker.run("long", &options, &["sleep", "1000"]);
    docker.kill();
    assert_ne!(bed.container(&long).expect("the container is known")["state"], "ended");
    docker.start();
    assert_ne!(bed.container(&long).expect("the container is known")["state"], "ended");
    let _ = output(&mut docker.command(&["rm", "--force", "long"]));
    bed.ended(&long);
    bed.assert_empty();
}
