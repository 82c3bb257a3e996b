//! Real managers, after `remora install-runtime`: they call the hook, and start containers where it has gone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use remora_tests::{Bed, Bundle, Containerd, Docker, Podman, cri::Container, run, source, wait_for};
use serde_json::Value;

use super::super::{assert_first_exec, docker::binaries};
use super::does;

/// What says that a manager's own file is edited, for binaries of the bed's.
fn in_file(bed: &Bed, config: &Path, bin: &Path) -> Vec<PathBuf> {
    let etc = bed.path("etc");
    let mut args: Vec<PathBuf> = vec!["--yes".into()];
    for (flag, path) in [("--manager-config", config), ("--bin-dir", bin), ("--etc-dir", &etc)] {
        args.extend([flag.into(), path.to_owned()]);
    }
    args
}

#[test]
fn podman_calls_the_hook_and_starts_without_it() {
    let bed = Bed::new();
    let podman = Podman::new(&bed);
    let bin = binaries(&bed);
    let (hooks, etc) = (podman.hooks().display().to_string(), bed.path("etc").display().to_string());
    fs::remove_file(podman.hooks().join("remora.json")).expect("failed to remove the bed's own");
    let args =
        ["--hooks-dir", &hooks, "--bin-dir", bin.to_str().expect("a path"), "--etc-dir", &etc, "--yes"];
    does("install", "podman", &args);
    let traced = ["--annotation", "io.remora.trace=exec", "--rm"];
    podman.run("seen", &traced, &["/bin/ls", "/"]);
    assert_eq!(bed.ended("seen")["ledger"].get("late"), None);
    assert_eq!(bed.events_of("seen").first()["process"]["executable"]["path"], "/bin/ls");

    podman.run("long", &[&traced[..], &["--detach"]].concat(), &["sleep", "1000"]);
    fs::remove_file(bin.join("remora-hook")).expect("failed to remove the hook");
    podman.run("unseen", &traced, &["/bin/ls", "/"]);
    podman.run("silent", &["--rm"], &["/bin/ls", "/"]);
    assert_eq!(bed.container("unseen"), None);
    run(&mut podman.command(&["rm", "--force", "--time", "0", "long"]));
    bed.ended("long");

    does("uninstall", "podman", &args);
    assert_eq!(fs::read_dir(podman.hooks()).expect("a folder").count(), 0);
    assert!(!Path::new(&etc).exists());
    podman.run("after", &traced, &["/bin/ls", "/"]);
    bed.assert_empty();
}

#[test]
fn docker_calls_the_wrapper_and_starts_without_it() {
    let bed = Bed::new();
    let bin = binaries(&bed);
    let stock = "{\n\t\"debug\": false\n}\n";
    let mut docker = Docker::new(stock);
    let mut args = in_file(&bed, &docker.config(), &bin);
    args.push("--default".into());
    does("install", "docker", &args);
    docker.stop();
    docker.start();
    let wants = ["--env", "WANTS=traced-please"];
    let seen = docker.run("seen", &[&wants[..], &["--detach"]].concat(), &["/bin/ls", "/"]);
    assert_eq!(bed.ended(&seen)["ledger"].get("late"), None);
    assert_eq!(bed.events_of(&seen).first()["process"]["executable"]["path"], "/bin/ls");

    // The hook goes first, then the wrapper; who runs goes on, and can be removed.
    docker.run("long", &[&wants[..], &["--detach"]].concat(), &["sleep", "1000"]);
    fs::remove_file(bin.join("remora-hook")).expect("failed to remove the hook");
    docker.run("unseen", &[&wants[..], &["--rm"]].concat(), &["/bin/ls", "/"]);
    fs::remove_file(bin.join("remora-runtime")).expect("failed to remove the wrapper");
    docker.run("silent", &[&wants[..], &["--rm"]].concat(), &["/bin/ls", "/"]);
    run(&mut docker.command(&["start", "--attach", "seen"]));
    let long = docker.id("long");
    run(&mut docker.command(&["rm", "--force", "long"]));
    bed.ended(&long);

    does("uninstall", "docker", &args);
    assert_eq!(fs::read_to_string(docker.config()).expect("a file"), stock);
    docker.stop();
    docker.start();
    docker.run("after", &["--rm"], &["/bin/ls", "/"]);
    bed.assert_empty();
}

#[test]
fn containerd_takes_what_is_generated() {
    let bed = Bed::new();
    let bin = binaries(&bed);
    let dir = bed.path("containerd");
    fs::create_dir(&dir).expect("failed to make a folder");
    let config = dir.join("config.toml");
    let debian = fs::read_to_string(source("tests/configs/containerd-debian-12.toml")).expect("a sample");
    fs::write(&config, &debian).expect("failed to write a file");
    let args = in_file(&bed, &config, &bin);
    does("install", "containerd", &args);

    let dump = run(Command::new("containerd").arg("--config").arg(&config).args(["config", "dump"]));
    for handler in [
        "runtimes.runc]",
        "runtimes.remora]",
        "base_runtime_spec = \"/",
        "pod_annotations = [\"io.remora.*\", \"io.remora.*/*\"]",
    ] {
        assert!(dump.contains(handler), "{handler}: {dump}");
    }
    // What containerd starts a container from, started as it is: with the hook, and without.
    let spec: Value =
        serde_json::from_slice(&fs::read(dir.join("remora-base-spec.json")).expect("a file")).expect("JSON");
    assert_eq!(spec["process"].get("rlimits"), None);
    let start = |id: &str| {
        let bundle = Bundle::with(&bed, id, &["/bin/ls", "/"], |config| {
            config["hooks"] = spec["hooks"].clone();
            config["annotations"]["io.remora.trace"] = "exec".into();
        });
        bundle.run();
    };
    start("seen");
    assert_eq!(bed.ended("seen")["ledger"].get("late"), None);
    fs::remove_file(bin.join("remora-hook")).expect("failed to remove the hook");
    start("unseen");
    assert_eq!(bed.container("unseen"), None);

    does("uninstall", "containerd", &args);
    assert_eq!(fs::read_to_string(&config).expect("a file"), debian);
    assert_eq!(fs::read_dir(&dir).expect("a folder").count(), 1);
}

/// Pods by the base specification that was made of what this containerd makes itself.
#[test]
fn pods_call_the_hook_and_start_without_it() {
    let bed = Bed::new();
    let bin = binaries(&bed);
    let mut containerd = Containerd::stock(&bed);
    let stock = fs::read_to_string(containerd.config()).expect("a file");
    let mut args = in_file(&bed, &containerd.config(), &bin);
    args.push("--default".into());
    does("install", "containerd", &args);
    containerd.kill();
    containerd.start();
    let mut cri = containerd.cri();
    let pod = cri.pod("asks", &[], &[("io.remora.trace/web", "exec"), ("io.remora.trace/late", "exec")]);
    let ls = ["/bin/ls", "/"];
    let seen = cri.run(&pod, &Container::new("web", &ls));
    cri.run(&pod, &Container::new("neighbour", &ls));
    assert_eq!(bed.ended(&seen)["ledger"].get("late"), None);
    assert_first_exec(&bed, &seen, "/bin/ls");
    assert_eq!(bed.json("/v1/containers").as_array().map(Vec::len), Some(1), "others are known");

    fs::remove_file(bin.join("remora-hook")).expect("failed to remove the hook");
    let unseen = cri.run(&pod, &Container::new("late", &ls));
    assert_eq!(bed.container(&unseen), None);
    cri.stop_pod(&pod.id);
    cri.remove_pod(&pod.id);

    does("uninstall", "containerd", &args);
    assert_eq!(fs::read_to_string(containerd.config()).expect("a file"), stock);
    assert!(!containerd.path("remora-base-spec.json").exists());
    containerd.kill();
    containerd.start();
    bed.assert_empty();
}

#[test]
fn a_guarded_runtime_is_the_real_one_where_the_wrapper_is_gone() {
    let bed = Bed::new();
    let bin = binaries(&bed);
    let (etc, bin_dir) = (bed.path("etc").display().to_string(), bin.display().to_string());
    let args = ["--bin-dir", &bin_dir, "--etc-dir", &etc, "--yes"];
    let told = does("install", "nerdctl", &args);
    let guarded = bed.path("etc/guarded-runtime");
    assert!(told.contains(&format!("--runc-binary {}", guarded.display())), "{told}");
    let version = |path: &Path| run(Command::new(path).arg("--version"));
    let runc = version(Path::new("runc"));
    assert_eq!(version(&guarded), runc);
    fs::remove_file(bin.join("remora-runtime")).expect("failed to remove the wrapper");
    // As a shim may call it: with nothing in the environment.
    let bare = run(Command::new(&guarded).arg("--version").env_clear());
    assert_eq!(bare, runc);
    let crun = run(Command::new(&guarded).arg("--version").env("REMORA_RUNTIME", "crun"));
    assert!(crun.contains("crun"), "{crun}");
    does("uninstall", "nerdctl", &args);
    wait_for("the folder to be gone", || (!bed.path("etc").exists()).then_some(()));
}
