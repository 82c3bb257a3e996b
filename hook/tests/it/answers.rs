//! What the daemon may do: the container starts within the budget in every case, and a notice that nobody
//! took is kept.

use crate::rig::{BUDGET, Rig, SLACK};
use remora_wire::{Stage, frame};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn a_good_answer_leaves_no_trace() {
    let rig = Rig::new();
    rig.config(json!({ "root": { "path": "rootfs" } }));
    let notices = rig.acking(true, "");
    let outcome = rig.run("createRuntime", &rig.state(json!({ "a": "b" })));
    assert_eq!((outcome.code, outcome.stderr.as_str(), rig.log().as_str()), (Some(0), "", ""));
    assert!(rig.spooled().is_empty());

    let notice = notices.recv().unwrap();
    assert_eq!((notice.stage, notice.id.as_str()), (Stage::CreateRuntime, "c1"));
    assert_eq!(notice.pid, Some(std::process::id()));
    assert!(notice.start_time.is_some_and(|ticks| ticks > 0));
    assert_eq!(notice.bundle, rig.path("").to_str().unwrap().trim_end_matches('/'));
    assert_eq!(notice.root, rig.path("rootfs").to_str().unwrap());
    assert_eq!(notice.annotations.get("a").map(String::as_str), Some("b"));
    assert_eq!(notice.namespaces.mnt, fs::metadata("/proc/self/ns/mnt").unwrap().ino());
    assert_eq!(notice.namespaces.cgroup, fs::metadata("/proc/self/ns/cgroup").unwrap().ino());
    let own = std::env::current_exe().unwrap();
    assert_eq!(notice.runtime, own.file_name().unwrap().to_str().unwrap());
    assert!(notice.at > 1_700_000_000_000_000_000 && !notice.truncated);
}

#[test]
fn both_stages_of_one_start_and_its_end_are_told() {
    let rig = Rig::new();
    let notices = rig.acking(true, "");
    let gone =
        r#"{"id":"c1","status":"stopped","pid":0,"bundle":"/none","annotations":{"io.remora.trace":"x"}}"#;
    for (stage, state) in [("prestart", &rig.state(json!({}))), ("poststop", &gone.to_owned())] {
        assert_eq!(rig.run(stage, state).code, Some(0));
    }
    let (first, last) = (notices.recv().unwrap(), notices.recv().unwrap());
    assert_eq!((first.stage, last.stage), (Stage::Prestart, Stage::Poststop));
    assert_eq!((last.pid, last.start_time, last.root.as_str()), (None, None, ""));
}

#[test]
fn what_the_daemon_has_to_say_is_logged_and_escaped() {
    let rig = Rig::new();
    let _notices = rig.acking(true, "no tracer\n\u{1b}[2Jnamed x");
    assert_eq!(rig.run("createRuntime", &rig.state(json!({}))).code, Some(0));
    let log = rig.log();
    assert!(log.contains(r"no tracer\n\u{1b}[2Jnamed x") && log.lines().count() == 1, "{log}");
}

#[test]
fn a_refusal_is_logged_and_not_spooled() {
    let rig = Rig::new();
    let _notices = rig.acking(false, "cgroup is /");
    let outcome = rig.run("createRuntime", &rig.state(json!({})));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(rig.log().contains("failed to register container c1: the daemon refused it: cgroup is /"));
    assert!(rig.spooled().is_empty());
}

/// The hook goes on and spools; the log says why.
fn expect_spooled(rig: &Rig, budget: Duration, why: &str) -> Duration {
    let outcome = rig.run_within(budget, "createRuntime", &rig.state(json!({})));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", rig.log());
    let log = rig.log();
    assert!(log.contains("failed to register container c1") && log.contains(why), "{log}");
    assert_eq!(rig.spooled().len(), 1);
    outcome.took
}

#[test]
fn no_socket() {
    expect_spooled(&Rig::new(), SLACK, "failed to connect to");
}

#[test]
fn a_socket_that_nobody_listens_at() {
    let rig = Rig::new();
    drop(UnixListener::bind(rig.socket()).unwrap());
    expect_spooled(&rig, SLACK, "Connection refused");
}

#[test]
fn a_daemon_that_hangs() {
    let rig = Rig::new();
    let _deaf = UnixListener::bind(rig.socket()).unwrap();
    let took = expect_spooled(&rig, BUDGET, "no time left of 200 ms");
    assert!(took >= BUDGET && took < SLACK, "{took:?}");
}

#[test]
fn a_backlog_that_is_full() {
    let rig = Rig::new();
    let listener =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .unwrap();
    let address = SocketAddrUnix::new(rig.socket()).unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let _first = UnixStream::connect(rig.socket()).unwrap();
    let took = expect_spooled(&rig, BUDGET, "failed to connect to");
    assert!(took >= BUDGET && took < SLACK, "{took:?}");
}

#[test]
fn a_frame_that_nobody_reads_does_not_block() {
    let rig = Rig::new();
    let _deaf = UnixListener::bind(rig.socket()).unwrap();
    // Our own key, so that it is not left out; two hooks fill any socket buffer.
    let state = rig.state(json!({ "io.remora.param.x.y": "z".repeat(255 << 10) }));
    for _ in 0..2 {
        let outcome = rig.run_within(BUDGET, "createRuntime", &state);
        assert_eq!(outcome.code, Some(0));
        assert!(outcome.took < SLACK);
    }
    assert_eq!(rig.spooled().len(), 2);
}

#[test]
fn a_daemon_that_hangs_up() {
    let rig = Rig::new();
    let _notices = rig.daemon(drop);
    expect_spooled(&rig, SLACK, "hung up without an answer");
}

#[test]
fn answers_that_are_garbage() {
    let frame = |json: &[u8]| [b"RMR1", &(json.len() as u32).to_be_bytes()[..], json].concat();
    for (garbage, why) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "failed to read frame"),
        (b"RMR1\xff\xff\xff\xff".to_vec(), "at most"),
        (b"RMR2\0\0\0\x02{}".to_vec(), "failed to read frame"),
        (frame(b"not JSON"), "failed to parse frame"),
        (frame(b"{}"), "missing field"),
        (frame(b"{\"ok\":\"yes\"}"), "failed to parse frame"),
        (frame(b"\xff\xfe"), "failed to parse frame"),
        (b"RMR1\0\0\0\x10{\"ok\"".to_vec(), "hung up"),
    ] {
        let rig = Rig::new();
        let _notices = rig.daemon(move |mut stream| drop(stream.write_all(&garbage)));
        expect_spooled(&rig, SLACK, why);
    }
}

#[test]
fn a_daemon_that_dribbles() {
    let rig = Rig::new();
    let _notices = rig.daemon(|mut stream| {
        let frame = frame::encode(&json!({ "ok": true, "message": "x".repeat(10_000) })).unwrap();
        for byte in frame {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            sleep(Duration::from_millis(5));
        }
    });
    let took = expect_spooled(&rig, BUDGET, "no time left");
    assert!(took >= BUDGET && took < SLACK, "{took:?}");
}
