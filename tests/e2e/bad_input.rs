//! Bad input of every kind: a clear error each, the daemon lives, nothing is half done.

mod objects;

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use remora_tests::{Bed, Bundle, build_dir, emulated, events::text, output, patience, source, wait_for};
use remora_wire::{Ack, read_frame};
use serde_json::{Value, json};

/// Numbers that look random and are the same each time (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// As often as said, in slow machines a tenth.
fn few(times: usize) -> usize {
    if emulated() { times.div_ceil(10) } else { times }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("a small body");
    [&b"RMR1"[..], &len.to_be_bytes(), body].concat()
}

/// What the daemon answers to these bytes, the connection's end following them; none if it just hangs up.
fn answer(bed: &Bed, bytes: &[u8]) -> Option<Ack> {
    let mut stream = UnixStream::connect(bed.hook_socket()).expect("failed to connect");
    stream.set_read_timeout(Some(patience())).expect("failed to set a timeout");
    // It may have answered and hung up before all is written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read_frame(&mut stream).ok()
}

/// After all that, before long, a container is seen from its first exec; its ledger.
fn still_works(bed: &Bed, trace: &str) -> Value {
    let mut round = 0;
    let ended = wait_for("a container that is not late", || {
        round += 1;
        let name = format!("good-{round}");
        Bundle::new(bed, &name, trace, &["/bin/true"]).run();
        let ended = bed.ended(&name);
        let execs = bed.events().of_container(&name).named("exec").len();
        (ended["ledger"].get("late").is_none() && execs == 1).then_some(ended)
    });
    bed.assert_empty();
    ended
}

#[test]
fn frames_that_are_none() {
    let bed = Bed::new();
    let pid = bed.pid();
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let nested =
        format!("{{\"stage\":\"createRuntime\",\"id\":\"x\",\"more\":{}}}", String::from_utf8_lossy(&deep));
    let mut too_large = frame(b"{}");
    too_large[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "starts with"),
        ("another version", [b"RMR9", &frame(b"{}")[4..]].concat(), "starts with"),
        ("too large", too_large, "at most"),
        ("no JSON", frame(b"\x00\xff\xfe not json"), "expected value"),
        ("deep nesting", frame(&deep), ""),
        ("unknown deep nesting", frame(nested.as_bytes()), ""),
        ("no notice", frame(b"{\"stage\":\"createRuntime\"}"), "id"),
        ("wrong type", frame(b"{\"stage\":\"createRuntime\",\"id\":7}"), "expected a string"),
        ("unknown stage", frame(b"{\"stage\":\"teardown\",\"id\":\"x\"}"), "teardown"),
    ];
    for (what, bytes, why) in cases {
        let ack = answer(&bed, &bytes).unwrap_or_else(|| panic!("{what}: no answer"));
        assert!(!ack.ok && ack.message.contains(why), "{what}: {ack:?}");
    }
    let whole = frame(&serde_json::to_vec(&json!({ "stage": "createRuntime", "id": "cut" })).expect("JSON"));
    for end in 1..whole.len() {
        assert!(answer(&bed, &whole[..end]).is_none_or(|ack| !ack.ok), "{end} bytes");
    }
    let mut random = Random(0xf00d);
    for n in 0..few(300) {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        assert!(answer(&bed, &bytes).is_none_or(|ack| !ack.ok), "frame {n}: {bytes:?}");
    }
    assert_eq!((bed.get("/healthz").as_str(), bed.pid()), ("ok\n", pid));
    still_works(&bed, "exec");
}

/// Ids of the containers in scope; what was refused may stand beside them, as ended.
fn in_scope(bed: &Bed) -> Vec<String> {
    let all = bed.json("/v1/containers");
    let live = all.as_array().expect("a list").iter().filter(|c| c["state"] != "ended");
    live.map(|c| text(c, "id")).collect()
}

#[test]
fn notices_of_processes_that_cannot_be() {
    let bed = Bed::new();
    let me = std::process::id();
    let cases: [(Value, &str); 7] = [
        (json!({}), "not opted in"),
        (json!({ "annotations": { "io.remora.trace": "exec" } }), "no pid"),
        (json!({ "annotations": { "io.remora.trace": "exec" }, "pid": 1 }), "no pid"),
        (json!({ "annotations": { "io.remora.trace": "exec" }, "pid": 4_194_300 }), "4194300"),
        (json!({ "annotations": { "io.remora.trace": "exec" }, "pid": me, "start_time": 1 }), "another one"),
        (json!({ "annotations": { "io.remora.trace": "exec" }, "pid": bed.pid() }), "cgroup"),
        (json!({ "annotations": { "io.remora.trace": "exec,\u{1b}[31m" }, "pid": me }), ""),
    ];
    for (more, why) in cases {
        let mut notice = json!({ "stage": "createRuntime", "id": "nobody" });
        let more = more.as_object().expect("an object").clone();
        notice.as_object_mut().expect("an object").extend(more);
        let ack = answer(&bed, &frame(notice.to_string().as_bytes())).expect("no answer");
        assert!(!ack.ok && ack.message.contains(why), "{notice}: {ack:?}");
        assert!(!ack.message.contains('\u{1b}'), "{ack:?}");
    }
    assert_eq!(in_scope(&bed), [] as [String; 0]);
    bed.assert_empty();
}

#[test]
fn peers_that_take_their_time() {
    let bed = Bed::new();
    let mut slow = UnixStream::connect(bed.hook_socket()).expect("failed to connect");
    let start = Instant::now();
    // One byte at a time: the time is the peer's for the whole frame, not for each byte.
    wait_for("the slow peer to be dropped", || {
        std::thread::sleep(Duration::from_millis(50));
        slow.write_all(b"R").is_err().then_some(())
    });
    assert!(start.elapsed() >= Duration::from_millis(400), "dropped after {:?}", start.elapsed());
    let idle: Vec<UnixStream> = std::thread::scope(|scope| {
        let connect = || UnixStream::connect(bed.hook_socket()).expect("failed to connect");
        let threads: Vec<_> = (0..200).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().map(|t| t.join().expect("a thread")).collect()
    });
    assert_eq!(bed.get("/healthz"), "ok\n");
    // All are served, or dropped for their time; then there is room again.
    for mut stream in idle {
        stream.set_read_timeout(Some(patience())).expect("failed to set a timeout");
        assert_eq!(stream.read(&mut [0]).expect("never dropped"), 0);
    }
    still_works(&bed, "exec");
}

#[test]
fn configuration_that_cannot_be_meant() {
    let bed = Bed::cold();
    let config = bed.path("remora.toml");
    let cases = [
        ("nonsense = 1", "nonsense"),
        ("[hook]\nsokcet = \"/x\"", "sokcet"),
        ("[limits]\ncontainers = \"many\"", "containers"),
        ("[limits]\ncontainers = 0", "limits.containers"),
        ("[limits]\nring_bytes = 100000", "limits.ring_bytes"),
        ("[hook]\npeer_timeout = \"soon\"", "peer_timeout"),
        ("[hook]\npeer_timeout = \"1h\"", "hook.peer_timeout"),
        ("run_dir = \"here\"", "run_dir"),
        ("log = \"=loud=\"", "log"),
        ("[tracers.params.exec]\nmax_args = -1", "tracers.params.exec.max_args"),
        ("[tracers]\npreload = [\"A B\"]", "tracers.preload"),
        ("[scan]\nruntime_roots = [\"/run/[\"]", "scan.runtime_roots"),
        ("[hook\n", "remora.toml"),
        ("\u{0}", "remora.toml"),
    ];
    for (text, key) in cases {
        fs::write(&config, text).expect("failed to write");
        for command in ["check", "daemon"] {
            let output = output(&mut bed.remora(&[command]));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                !output.status.success() && output.status.code().is_some(),
                "{text:?}: {}",
                output.status
            );
            assert!(said.contains(key) && said.contains("remora.toml"), "{text:?}: {key} is not in {said:?}");
        }
    }
    fs::remove_file(&config).expect("failed to remove");
    for command in ["check", "daemon", "ps"] {
        let output = output(&mut bed.remora(&[command]));
        assert!(!output.status.success(), "{command} without the file it was told");
        assert!(String::from_utf8_lossy(&output.stderr).contains("remora.toml"));
    }
    let example = fs::read(source("examples/remora.toml")).expect("no example");
    let mut random = Random(0xc0ff);
    for n in 0..few(100) {
        let mut bytes = example.clone();
        (0..20).for_each(|_| bytes[random.below(example.len())] = random.below(256) as u8);
        fs::write(&config, bytes).expect("failed to write");
        let output = output(&mut bed.remora(&["check"]));
        let ended = output.status.code().is_some_and(|c| [0, 1, 78].contains(&c));
        assert!(ended, "configuration {n}: {}", output.status);
    }
}

/// Status, and the body if it is a problem as RFC 9457 has it.
fn ask(bed: &Bed, request: &str) -> (u16, Option<Value>) {
    let mut stream = UnixStream::connect(bed.path("api.sock")).expect("failed to connect");
    stream.set_read_timeout(Some(patience())).expect("failed to set a timeout");
    write!(stream, "{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("failed to ask");
    let mut answer = Vec::new();
    // Whoever sends no HTTP may be hung up on before all it sent is read.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    let problem = head.to_lowercase().contains("content-type: application/problem+json");
    (status, problem.then(|| serde_json::from_str(body).expect("not JSON")))
}

#[test]
fn requests_that_mean_nothing() {
    let bed = Bed::new();
    let cases = [
        ("GET /v1/events?nonsense=1", 400, "nonsense"),
        ("GET /v1/events?after=soon", 400, "after"),
        ("GET /v1/events?follow=maybe", 400, "follow"),
        ("GET /v1/events?replay=true&where=a%20==", 400, "column 5"),
        ("GET /v1/events?replay=true&image=%5B", 400, "column 1"),
        ("GET /v1/containers/nobody", 404, "nobody"),
        ("GET /v1/containers/%ff%fe", 400, ""),
        ("GET /v1/tracers/nobody", 404, "nobody"),
        ("GET /v1/tracers/..%2f..%2fetc", 404, "etc"),
        ("GET /nowhere", 404, ""),
        ("POST /v1/containers", 400, "JSON"),
        ("PUT /v1/containers", 405, ""),
        ("DELETE /metrics", 405, ""),
    ];
    for (request, status, words) in cases {
        let (got, problem) = ask(&bed, request);
        assert_eq!(got, status, "{request}: {problem:?}");
        let problem = problem.unwrap_or_else(|| panic!("{request}: no problem+json"));
        assert_eq!(problem["status"], status, "{request}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains(words)), "{request}: {problem}");
    }
    assert_eq!(ask(&bed, "GARBAGE").0, 400);
    assert_eq!(bed.get("/healthz"), "ok\n");
}

/// A container of user 65534 that nobody announced.
fn of_nobody(bed: &Bed, id: &str, uid: u32) -> Bundle {
    Bundle::with(bed, id, &["/bin/sleep", "1000"], |config| {
        config["process"]["user"] = json!({ "uid": uid, "gid": uid });
        config["hooks"] = json!({});
    })
}

/// The hook as user 65534 calls it for this process.
fn hook_of_nobody(bed: &Bed, id: &str, pid: u32) {
    let state = json!({ "ociVersion": "1.0.2", "id": id, "status": "created", "pid": pid, "bundle": "/nowhere",
        "annotations": { "io.remora.trace": "exec" } });
    let mut command = Command::new(bed.path("remora-hook"));
    command.args(bed.hook_args()).arg("createRuntime").uid(65534).gid(65534).current_dir("/");
    let mut hook = command.stdin(Stdio::piped()).spawn().expect("failed to run the hook");
    hook.stdin.take().expect("piped").write_all(state.to_string().as_bytes()).expect("failed to write");
    assert!(hook.wait().expect("failed to wait").success(), "the hook never fails a container");
}

#[test]
fn users_register_their_own_processes_alone() {
    for rootless in [true, false] {
        let mut bed = Bed::cold().with("hook", &format!("rootless = {rootless}"));
        bed.start();
        fs::set_permissions(bed.path(""), fs::Permissions::from_mode(0o755)).expect("failed to chmod");
        fs::copy(build_dir().join("remora-hook"), bed.path("remora-hook")).expect("failed to copy");
        let (own, roots) = (of_nobody(&bed, "own", 65534), of_nobody(&bed, "roots", 0));
        let mut children = [own.start(), roots.start()];
        let pids = [&own, &roots].map(|b| wait_for("the container to run", || b.pid()));
        wait_for("its user to be another", || {
            let status = fs::read_to_string(format!("/proc/{}/status", pids[0])).ok()?;
            status.contains("Uid:\t65534").then_some(())
        });
        hook_of_nobody(&bed, "own", pids[0]);
        hook_of_nobody(&bed, "roots", pids[1]);
        let inside = in_scope(&bed);
        if rootless {
            assert_eq!(inside, ["own"]);
            let why = format!("user 65534 may not register process {}", pids[1]);
            assert!(bed.log().contains(&why), "{why}");
        } else {
            assert!(inside.is_empty(), "{inside:?}");
        }
        drop((own, roots));
        children.iter_mut().for_each(|c| drop(c.wait()));
        bed.assert_empty();
    }
}
