//! Advice is taken: containers run under what was made of them, and what is outside of it is refused.

use std::{fs, path::PathBuf, process::Command};

use remora_tests::{
    Bed, Podman, output, run,
    service::{NGINX, POSTGRES, REDIS, SCRIPT, Service},
    wait_for,
};
use serde_json::Value;

/// What no service here calls.
const OUTSIDE: &str = "mknod /tmp/fifo p";

fn profile_of(bed: &Bed, name: &str) -> (PathBuf, Value) {
    let path = bed.path(&format!("{name}.json"));
    let said = output(bed.remora(&["advise", "seccomp", name, "-o"]).arg(&path));
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{told}");
    assert!(told.contains("was observed from") && !told.contains("late") && !told.contains("full"), "{told}");
    let text = fs::read_to_string(&path).expect("no profile");
    (path, serde_json::from_str(&text).expect("not JSON"))
}

/// Traced, worked with, restarted under its own profile, worked with again.
fn restarts_under_its_profile(service: &Service) {
    let mut bed = Bed::tracing("syscall");
    bed.start();
    let podman = Podman::new(&bed);
    let image = service.image(&podman);
    let name = service.name;
    service.start(&podman, &image, name, &["--annotation", "io.remora.trace=syscall"]);
    // What is done when it ends counts as well, and for a minute it can still be asked.
    run(&mut podman.command(&["stop", "--time", "10", name]));
    bed.ended(name);
    let (path, profile) = profile_of(&bed, name);
    let names =
        profile["syscalls"].as_array().expect("rules").iter().flat_map(|rule| rule["names"].as_array());
    let names: Vec<&str> = names.flatten().filter_map(Value::as_str).collect();
    assert!(!names.contains(&"mknod") && !names.contains(&"mknodat"), "{names:?}");
    run(&mut podman.command(&["rm", name]));
    let confined = format!("seccomp={}", path.display());
    for more in [&[][..], &["--security-opt", "no-new-privileges"]] {
        let options = [&["--security-opt", &confined], more].concat();
        service.start(&podman, &image, name, &options);
        let refused = output(&mut podman.command(&["exec", name, "sh", "-c", OUTSIDE]));
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("Operation not permitted"), "{why}");
        assert!(service.works(&podman, name), "it goes on");
        run(&mut podman.command(&["rm", "--force", "--time", "0", name]));
    }
    // It is the profile that refuses.
    run(&mut podman.command(&["run", "--rm", &image, "sh", "-c", OUTSIDE]));
}

#[test]
fn podman_nginx_runs_under_its_profile() {
    restarts_under_its_profile(&NGINX);
}

#[test]
fn podman_redis_runs_under_its_profile() {
    restarts_under_its_profile(&REDIS);
}

#[test]
fn podman_postgres_runs_under_its_profile() {
    restarts_under_its_profile(&POSTGRES);
}

#[test]
fn podman_a_script_runs_under_its_profile() {
    restarts_under_its_profile(&SCRIPT);
}

#[test]
fn podman_capabilities_that_were_used_are_enough() {
    let mut bed = Bed::tracing("capability");
    bed.start();
    let podman = Podman::new(&bed);
    let work = ["sh", "-c", "touch /tmp/f && chown 5:5 /tmp/f && chmod 600 /tmp/f && echo done"];
    podman.run("caps", &["--annotation", "io.remora.trace=capability"], &work);
    bed.ended("caps");
    let said = run(&mut bed.remora(&["advise", "capabilities", "caps", "--format", "podman"]));
    assert!(said.contains("--cap-drop=ALL") && said.contains("--cap-add=CHOWN"), "{said}");
    let options: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(podman.run("again", &options, &work), "done\n");
    let less: Vec<&str> = options.into_iter().filter(|o| *o != "--cap-add=CHOWN").collect();
    assert!(!output(&mut podman.run_command("less", &less, &work)).status.success());
    let json: Vec<String> =
        serde_json::from_str(&run(&mut bed.remora(&["advise", "capabilities", "caps", "--format", "json"])))
            .expect("JSON");
    assert!(json.contains(&"CAP_CHOWN".to_owned()), "{json:?}");
}

#[test]
fn podman_who_was_not_watched_is_watched_or_told_so() {
    let mut bed = Bed::tracing("exec,syscall");
    bed.start();
    let podman = Podman::new(&bed);
    podman.run(
        "web",
        &["--detach", "--annotation", "io.remora.trace=exec"],
        &["sh", "-c", "while :; do sleep 0.1; done"],
    );
    wait_for("it to run", || bed.container("web"));
    let without = output(&mut bed.remora(&["advise", "seccomp", "web"]));
    let why = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(
        !without.status.success() && why.contains("--seconds") && why.contains("io.remora.trace=syscall"),
        "{why}"
    );
    let watched = output(&mut bed.remora(&["advise", "seccomp", "web", "--seconds", "2"]));
    let told = String::from_utf8_lossy(&watched.stderr).into_owned();
    assert!(watched.status.success() && told.contains("did not watch all the time"), "{told}");
    let profile: Value = serde_json::from_slice(&watched.stdout).expect("not JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    wait_for("the tracer to go", || {
        (bed.container("web")?["tracers"] == serde_json::json!(["exec"])).then_some(())
    });
    let nowhere = output(&mut bed.remora(&["advise", "seccomp", "nobody"]));
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn a_policy_is_made_of_what_was_talked_to() {
    let mut bed = Bed::tracing("flow");
    bed.start();
    // A network of its own, whose two addresses are not loopback.
    let script = "ip link set lo up; ip link add a type dummy; ip link set a up; ip addr add 10.77.0.1/24 dev a; \
        ip addr add 10.77.0.2/24 dev a; python3 -m http.server -b 10.77.0.2 8123 >/dev/null 2>&1 & \
        for i in $(seq 100); do curl -s --interface 10.77.0.1 -o /dev/null http://10.77.0.2:8123/ && break; sleep 0.1; done; \
        kill %1 2>/dev/null; touch \"$0\"; sleep 20";
    let done = bed.path("done");
    let mut command = bed
        .remora(&["run", "--name", "talker", "--trace", "flow", "--", "unshare", "-n", "bash", "-c", script]);
    let mut child = command.arg(&done).spawn().expect("failed to start");
    wait_for("the talk to be over", || done.exists().then_some(()));
    let bare = output(&mut bed.remora(&["advise", "network", "talker"]));
    assert!(String::from_utf8_lossy(&bare.stderr).contains("--selector"), "{bare:?}");
    let policy = run(&mut bed.remora(&["advise", "network", "talker", "--selector", "app=talker"]));
    let policy: Value = serde_json::from_str(&policy).expect("not JSON");
    assert_eq!(policy["spec"]["podSelector"]["matchLabels"]["app"], "talker", "{policy}");
    assert_eq!(policy["kind"], "NetworkPolicy");
    let _ = Command::new("pkill").args(["-P", &child.id().to_string()]).status();
    let _ = child.kill();
    let _ = child.wait();
}
