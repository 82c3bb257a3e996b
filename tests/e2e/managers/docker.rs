//! docker, with the wrapper as its runtime.

use std::{fs, path::PathBuf, process::Command};

use remora_tests::{Bed, Containerd, Docker, bed::signal, build_dir, output, run, script, wait_for};

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
REMORA_HOOK={}/remora-hook REMORA_ASK={} exec {}/remora-runtime "$@""#,
        dir.display(),
        bed.path("ask").display(),
        build.display()
    );
    script(&dir.join("remora-runtime"), &wrapper);
    dir
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

    // Without its shim docker takes the container for dead.
    let orphan = docker.run("orphan", &options, &["sleep", "1000"]);
    signal(Containerd::shim(docker.init("orphan")), "KILL");
    bed.ended(&orphan);

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
