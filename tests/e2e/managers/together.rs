//! Several managers on one node: what one of them does, or does not do, is nothing to the others' containers.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use remora_tests::{
    Bed, Bundle, Containerd, Docker, Podman, build_dir, count, emulated, runc::act, script, wait_for,
};
use serde_json::Value;

use super::{assert_first_exec, docker::binaries};

const ASKS: &str = "io.remora.trace=exec";

/// The hook in its place, with the time that each call takes written down.
fn timed(bed: &Bed) -> PathBuf {
    let path = bed.path("timed-hook");
    let line = format!(
        "exec {} timed {} {}/remora-hook \"$@\"",
        act().display(),
        bed.path("times").display(),
        build_dir().display()
    );
    script(&path, &line);
    path
}

/// The managers' calls of the hook go through this instead.
fn call_instead(hook: &Path, podman: &Podman, containerd: &Containerd) {
    let file = podman.hooks().join("remora.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("no hook")).expect("not JSON");
    config["hook"]["path"] = hook.display().to_string().into();
    fs::write(file, config.to_string()).expect("failed to write the hook");
    let file = containerd.path("remora-hook");
    let text = fs::read_to_string(&file).expect("no hook");
    let real = build_dir().join("remora-hook").display().to_string();
    fs::write(&file, text.replace(&real, &hook.display().to_string())).expect("failed to write the hook");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("failed to chmod");
}

/// Median, 99th percentile and most.
fn percentiles(bed: &Bed) -> [Duration; 3] {
    let text = fs::read_to_string(bed.path("times")).expect("the hook was not called");
    let mut times: Vec<u64> = text.lines().map(|line| line.parse().expect("a number")).collect();
    times.sort_unstable();
    let at = |percent: usize| Duration::from_micros(times[(times.len() * percent).div_ceil(100) - 1]);
    println!(
        "{} calls of the hook: median {:.1?}, p99 {:.1?}, most {:.1?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
    [at(50), at(99), at(100)]
}

#[test]
fn many_at_once() {
    let bed = Bed::new();
    let podman = Podman::new(&bed);
    let containerd = Containerd::new(&bed);
    let hook = timed(&bed);
    call_instead(&hook, &podman, &containerd);
    let wrapper = containerd.wrapper();
    let each = count(200) / 2;
    // Four of each manager at a time; every second container asks.
    let name = |manager: &str, n: u32| {
        format!("{manager}-{}-{n}", if n.is_multiple_of(2) { "traced" } else { "quiet" })
    };
    let run = |manager: &str, n: u32| {
        let name = name(manager, n);
        let line = format!("/bin/true {name}; exit 0");
        let program = ["/bin/sh", "-c", line.as_str()];
        let mut options = vec!["--rm"];
        if n.is_multiple_of(2) {
            options.extend(["--annotation", ASKS]);
        }
        if manager == "podman" {
            podman.run(&name, &options, &program);
        } else {
            options.extend(wrapper.iter().map(String::as_str));
            containerd.run(&name, &options, &program);
        }
    };
    std::thread::scope(|scope| {
        for lane in 0..4 {
            for manager in ["podman", "ctr"] {
                scope.spawn(move || (lane..each).step_by(4).for_each(|n| run(manager, n)));
            }
        }
    });
    for manager in ["podman", "ctr"] {
        for n in (0..each).step_by(2) {
            let name = name(manager, n);
            let ended = bed.ended(&name);
            assert_eq!(ended["ledger"].get("late"), None, "{ended}");
            assert_first_exec(&bed, &name, "/bin/sh");
            let execs = bed.events_of(&name).named("exec");
            assert_eq!(execs.texts("process.executable.path"), ["/bin/sh", "/bin/true"], "{name}");
            assert_eq!(execs.0[1]["process"]["command_args"][1], name, "somebody else's: {execs:?}");
        }
    }
    let traced = 2 * (0..each).step_by(2).count();
    assert_eq!(bed.json("/v1/containers").as_array().map(Vec::len), Some(traced));
    let strangers =
        bed.events().only(|e| !e["container"]["name"].as_str().is_some_and(|n| n.contains("-traced-")));
    assert!(strangers.is_empty(), "{strangers:?}");
    let [_, p99, _] = percentiles(&bed);
    if !emulated() {
        assert!(p99 < Duration::from_millis(500), "the hook took {p99:?} of its half second");
    }
    bed.assert_empty();
}

/// One container of somebody else's: from its first exec on, and the API answers.
fn others_go_on(bed: &Bed, podman: &Podman, round: &str) {
    let name = format!("podman-{round}");
    podman.run(&name, &["--rm", "--annotation", ASKS], &["/bin/sh", "-c", "exit 0"]);
    let plain = Bundle::new(bed, &format!("runc-{round}"), "exec", &["/bin/sh", "-c", "exit 0"]);
    assert!(plain.start().wait().expect("failed to wait").success());
    drop(plain);
    for name in [name, format!("runc-{round}")] {
        assert_eq!(bed.ended(&name)["ledger"].get("late"), None, "{name}");
        assert_first_exec(bed, &name, "/bin/sh");
    }
}

fn up(bed: &Bed, manager: &str, value: f64) {
    wait_for(&format!("{manager} to be {value}"), || {
        bed.value("remora_manager_up", &[("manager", manager)]).filter(|up| *up == value)
    });
}

#[test]
fn a_daemon_that_is_stopped_or_restarted_holds_up_nobody_else() {
    let bed = Bed::cold();
    let podman = Podman::new(&bed);
    let mut containerd = Containerd::new(&bed);
    let bin = binaries(&bed);
    let config = format!("{{\"runtimes\":{{\"remora\":{{\"path\":\"{}/remora-runtime\"}}}}}}", bin.display());
    let mut docker = Docker::new(&config);
    let mut bed = [
        ("managers.containerd", format!("socket = {:?}", containerd.socket())),
        ("managers.containerd", format!("state = {:?}", containerd.state())),
        ("managers.docker", format!("socket = {:?}", docker.socket())),
        ("managers.docker", format!("data_root = {:?}", docker.data_root())),
    ]
    .into_iter()
    .fold(bed, |bed, (section, line)| bed.with(section, &line));
    bed.start();
    let wrapper = containerd.wrapper();
    let by_ctr = |containerd: &Containerd, name: &str| {
        let options = ["--rm", &wrapper[0], &wrapper[1], "--annotation", ASKS];
        containerd.run_command(name, &options, remora_tests::podman::IMAGE, &["/bin/sh", "-c", "exit 0"])
    };
    let by_docker = |docker: &Docker, name: &str| {
        let options = ["--runtime", "remora", "--label", ASKS];
        docker.run_command(name, &options, &["/bin/sh", "-c", "exit 0"])
    };
    for manager in ["containerd", "docker"] {
        up(&bed, manager, 1.0);
    }

    // Stopped, with a container of its own on the way.
    containerd.signal("STOP");
    let mut waiting = by_ctr(&containerd, "ctr-waits").spawn().expect("failed to start ctr");
    others_go_on(&bed, &podman, "one");
    assert!(by_docker(&docker, "docker-one").status().expect("failed to start docker").success());
    containerd.signal("CONT");
    assert!(waiting.wait().expect("failed to wait").success());

    docker.signal("STOP");
    let mut waiting = by_docker(&docker, "docker-waits").spawn().expect("failed to start docker");
    others_go_on(&bed, &podman, "two");
    assert!(by_ctr(&containerd, "ctr-two").status().expect("failed to start ctr").success());
    docker.signal("CONT");
    assert!(waiting.wait().expect("failed to wait").success());

    // Gone, and back.
    containerd.kill();
    docker.kill();
    others_go_on(&bed, &podman, "three");
    for manager in ["containerd", "docker"] {
        up(&bed, manager, 0.0);
    }
    containerd.start();
    docker.start();
    for manager in ["containerd", "docker"] {
        up(&bed, manager, 1.0);
    }
    assert!(by_ctr(&containerd, "ctr-three").status().expect("failed to start ctr").success());
    assert!(by_docker(&docker, "docker-three").status().expect("failed to start docker").success());

    for name in ["ctr-waits", "ctr-two", "ctr-three", "docker-one", "docker-waits", "docker-three"] {
        let id = if name.starts_with("docker") { docker.id(name) } else { name.to_owned() };
        assert_eq!(bed.ended(&id)["ledger"].get("late"), None, "{name}");
        assert_first_exec(&bed, &id, "/bin/sh");
    }
    bed.assert_empty();
}
