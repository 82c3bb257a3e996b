//! The daemon is down, hung, talks nonsense or was never there: containers start all the same, in time, and
//! what was missed stands in the ledger.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    process::{Command, Output},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use remora_tests::{Bed, Bundle, Podman, build_dir, emulated, output, run, wait_for};

/// What keeps the daemon from answering.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Hole {
    Down,
    Hung,
    Nonsense,
    Missing,
}

/// The hole while it lasts.
struct Open {
    bed: Bed,
    hole: Hole,
    impostor: Option<Impostor>,
}

impl Open {
    fn new(hole: Hole) -> Self {
        let mut bed = Bed::cold();
        bed.write_config();
        let impostor = (hole == Hole::Nonsense).then(|| Impostor::new(&bed));
        if hole == Hole::Down || hole == Hole::Hung {
            bed.start();
        }
        match hole {
            Hole::Down => {
                bed.stop();
                assert!(bed.hook_socket().exists(), "a socket that nobody listens on is what this is about");
            }
            Hole::Hung => bed.signal("STOP"),
            Hole::Nonsense | Hole::Missing => {}
        }
        Self { bed, hole, impostor }
    }

    /// The daemon is back.
    fn close(mut self) -> Bed {
        drop(self.impostor.take());
        match self.hole {
            Hole::Hung => self.bed.signal("CONT"),
            _ => self.bed.start(),
        }
        self.bed
    }
}

/// Listens on the hook's socket and answers everybody with something else that is no answer.
struct Impostor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    fn new(bed: &Bed) -> Self {
        let listener = UnixListener::bind(bed.hook_socket()).expect("failed to listen");
        listener.set_nonblocking(true).expect("failed to set non-blocking");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let answers: [&[u8]; 4] =
                [b"HTTP/1.1 200 OK\r\n\r\n", b"RMR1\xff\xff\xff\xff", b"RMR1\0\0\0\x04nope", b""];
            let mut answers = answers.iter().cycle();
            let mut kept = Vec::new();
            while !stopped.load(Relaxed) {
                let Ok((mut peer, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let _ = peer.set_nonblocking(false);
                let _ = peer.read(&mut [0; 512]);
                let _ = peer.write_all(answers.next().expect("cycles"));
                kept.push(peer);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Waits for a word from outside, does something that is seen, and waits again.
const PATIENT: [&str; 3] = [
    "/bin/sh",
    "-c",
    "while [ ! -e /tmp/go ]; do sleep 0.1; done; /bin/uname >/dev/null; while [ ! -e /tmp/stop ]; do sleep 0.1; done",
];

/// A start may take as long as one without us, and the hook's budget (500 ms) once at the start and once at
/// the end. Generous: emulated machines and busy ones are slow.
fn in_time(what: &str, usual: Duration, took: Duration) {
    let factor = if emulated() { 50 } else { 5 };
    let most = usual * 3 + Duration::from_secs(1) * factor;
    assert!(took < most, "{what} took {took:?}, without us {usual:?}");
}

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (action(), start.elapsed())
}

fn spool(bed: &Bed) -> Vec<String> {
    let entries = fs::read_dir(bed.path("state/spool")).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// The account of a container that ran through the hole, and of one that came and went in it.
fn check_ledgers(bed: &Bed, running: &str, gone: &str) {
    let found = wait_for("the running container to be found", || bed.container(running));
    let late = found["ledger"]["late"].as_str().unwrap_or_default();
    assert!(late.contains("did not answer"), "{found}");
    let missed = bed.ended(gone);
    let late = missed["ledger"]["late"].as_str().unwrap_or_default();
    assert!(late.contains("did not answer"), "{missed}");
    assert!(missed["ledger"]["notes"].to_string().contains("nothing of it was observed"), "{missed}");
    wait_for("the spool to be empty", || spool(bed).is_empty().then_some(()));
    let all = bed.json("/v1/containers");
    let generations = all.as_array().expect("list").iter().filter(|c| c["id"] == missed["id"]).count();
    assert_eq!(generations, 1, "{all}");
}

fn seen_again(bed: &Bed, name: &str) {
    wait_for("an event of the container that was found", || {
        let paths = bed.events().of_container(name).named("exec").texts("process.executable.path");
        paths.contains(&"/bin/uname".to_owned()).then_some(())
    });
}

fn bundles(hole: Hole) {
    let open = Open::new(hole);
    let [plain, gone, running] = ["plain", "gone", "running"].map(|n| format!("{n}-{hole:?}").to_lowercase());
    let names = [running.as_str(), gone.as_str()];
    let (_, usual) = timed(|| Bundle::new(&open.bed, &plain, "", &["/bin/true"]).run());
    let gone = Bundle::new(&open.bed, &gone, "exec", &["/bin/true"]);
    let (_, took) = timed(|| gone.run());
    in_time("the container", usual, took);
    drop(gone);
    let running = Bundle::new(&open.bed, &running, "exec", &PATIENT);
    let mut child = running.start();
    wait_for("the container to run", || running.pid());
    assert!(!spool(&open.bed).is_empty());
    let log = fs::read_to_string(open.bed.path("hook.log")).expect("the hook left no log");
    assert!(log.contains("failed to register container running-"), "{log}");

    let bed = open.close();
    check_ledgers(&bed, names[0], names[1]);
    fs::write(running.rootfs().join("tmp/go"), "").expect("failed to write");
    seen_again(&bed, names[0]);
    fs::write(running.rootfs().join("tmp/stop"), "").expect("failed to write");
    assert!(child.wait().expect("failed to wait").success());
    drop(running);
    bed.ended(names[0]);
    bed.assert_empty();
}

fn podman(hole: Hole) {
    let open = Open::new(hole);
    let podman = Podman::new(&open.bed);
    let (_, usual) = timed(|| podman.run("plain", &[], &["true"]));
    let traced = ["--annotation", "io.remora.trace=exec"];
    let (_, took) = timed(|| podman.run("gone", &traced, &["true"]));
    in_time("podman run", usual, took);
    let detached = [&traced[..], &["--detach"]].concat();
    podman.run("running", &detached, &PATIENT);
    let (running, gone) = (podman.id("running"), podman.id("gone"));

    let bed = open.close();
    check_ledgers(&bed, &running, &gone);
    run(&mut podman.command(&["exec", "running", "/bin/touch", "/tmp/go"]));
    seen_again(&bed, &running);
    run(&mut podman.command(&["rm", "--force", "--time", "0", "running"]));
    bed.ended(&running);
    bed.assert_empty();
}

#[test]
fn down() {
    bundles(Hole::Down);
}

#[test]
fn hung() {
    bundles(Hole::Hung);
}

#[test]
fn nonsense() {
    bundles(Hole::Nonsense);
}

#[test]
fn missing() {
    bundles(Hole::Missing);
}

#[test]
fn podman_down() {
    podman(Hole::Down);
}

#[test]
fn podman_hung() {
    podman(Hole::Hung);
}

#[test]
fn podman_nonsense() {
    podman(Hole::Nonsense);
}

#[test]
fn podman_missing() {
    podman(Hole::Missing);
}

/// Fails, and says why in words for whoever started it.
fn refused(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it was started untraced");
    for part in ["must not run untraced", "io.remora.required", "failed to connect", "start it without"] {
        assert!(told.contains(part), "{part:?} is missing in: {told}");
    }
}

fn required(bed: &Bed, id: &str) -> Bundle {
    Bundle::with(bed, id, &["/bin/touch", "/tmp/ran"], |config| {
        config["annotations"]["io.remora.trace"] = "exec".into();
        config["annotations"]["io.remora.required"] = "true".into();
    })
}

#[test]
fn required_but_down() {
    let mut bed = Bed::cold();
    bed.write_config();
    let bundle = required(&bed, "strict");
    let output = output(&mut bundle.run_command());
    let log = fs::read_to_string(bed.path("hook.log")).expect("the hook left no log");
    assert!(log.contains("strict was not started"), "{log}");
    if remora_tests::runc::runtime() == "runc" {
        refused(&output);
    }
    assert!(!output.status.success());
    assert!(!bundle.rootfs().join("tmp/ran").exists(), "it ran untraced");
    let notices = spool(&bed).into_iter().map(|n| fs::read_to_string(bed.path("state/spool").join(n)));
    let notices: String = notices.map(Result::unwrap_or_default).collect();
    assert!(!notices.contains("createRuntime"), "there is no container to be found later: {notices}");
    drop(bundle);

    bed.start();
    let bundle = required(&bed, "strict");
    bundle.run();
    assert!(bundle.rootfs().join("tmp/ran").exists());
    drop(bundle);
    assert_eq!(bed.ended("strict")["ledger"].get("late"), None);
    bed.assert_empty();
}

#[test]
fn podman_required_but_down() {
    let bed = Bed::cold();
    bed.write_config();
    let podman = Podman::new(&bed);
    let strict = ["--annotation", "io.remora.trace=exec", "--annotation", "io.remora.required=true"];
    let output = output(&mut podman.run_command("strict", &strict, &["true"]));
    assert!(!output.status.success());
    if remora_tests::runc::runtime() == "runc" {
        refused(&output);
    }
}

/// A bundle without any hook of ours, only the annotation, run through the wrapper.
#[test]
fn wrapper() {
    let bed = Bed::new();
    // The wrapper's hook has the installed daemon's paths: a script of the same name brings this bed's.
    let hook = bed.path("bin/remora-hook");
    fs::create_dir(bed.path("bin")).expect("failed to make a folder");
    let real = build_dir().canonicalize().expect("no build").join("remora-hook");
    let args = bed.hook_args().join(" ");
    fs::write(&hook, format!("#!/bin/sh\nexec {} {args} \"$@\"\n", real.display())).expect("failed to write");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("failed to make it executable");

    let bundle = Bundle::with(&bed, "wrapped", &["/bin/echo", "hello"], |config| {
        config.as_object_mut().expect("an object").remove("hooks");
        config["annotations"]["io.remora.trace"] = "exec".into();
        config["linux"]["unheardOf"] = serde_json::json!({ "n": 1.50 });
    });
    let plain = bundle.run_command();
    let mut command = Command::new(build_dir().join("remora-runtime"));
    command.args(plain.get_args()).env("REMORA_RUNTIME", plain.get_program()).env("REMORA_HOOK", &hook);
    command.env("REMORA_LOG", bed.path("hook.log"));
    assert_eq!(run(&mut command), "hello\n");
    let config = fs::read_to_string(bundle.path().join("config.json")).expect("no config");
    assert!(config.contains("unheardOf"), "{config}");
    drop(bundle);

    let ended = bed.ended("wrapped");
    assert_eq!(ended["ledger"].get("late"), None, "{ended}");
    wait_for("poststop", || bed.log().contains("stage=Poststop").then_some(()));
    let events = bed.events().of_container("wrapped");
    assert_eq!(events.texts("event.name"), ["exec", "exit"]);
    assert_eq!(events.first()["process"]["executable"]["path"], "/bin/echo");
    bed.assert_empty();
}
