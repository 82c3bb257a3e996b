//! The folder in which notices wait for the daemon.

use crate::rig::{Rig, SLACK, finish, run};
use remora_wire::Stage;
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Stdio;
use std::time::Instant;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_notice_is_kept_whole_private_and_under_a_name_that_sorts() {
    let rig = Rig::new();
    rig.config(json!({ "root": { "path": "/r" } }));
    assert_eq!(rig.run("createRuntime", &rig.state(json!({ "k": "v\u{1}" }))).code, Some(0));
    let [notice] = &rig.spooled()[..] else { panic!("not one notice") };
    assert_eq!((notice.stage, notice.id.as_str(), notice.root.as_str()), (Stage::CreateRuntime, "c1", "/r"));
    assert_eq!(notice.annotations.get("k").map(String::as_str), Some("v\u{1}"));
    assert!(notice.start_time.is_some() && notice.namespaces.pid != 0);

    let entry = fs::read_dir(rig.path("spool")).unwrap().next().unwrap().unwrap();
    let name = entry.file_name().into_string().unwrap();
    let (at, pid) = name.strip_suffix(".json").unwrap().split_once('-').unwrap();
    assert_eq!(at, format!("{:020}", notice.at));
    assert!(pid.parse::<u32>().is_ok());
    assert_eq!((mode(&rig.path("spool")), mode(&entry.path())), (0o700, 0o600));
}

#[test]
fn a_folder_that_others_can_read_is_closed_to_them() {
    let rig = Rig::new();
    fs::create_dir(rig.path("spool")).unwrap();
    fs::set_permissions(rig.path("spool"), Permissions::from_mode(0o755)).unwrap();
    rig.run("createRuntime", &rig.state(json!({})));
    assert_eq!((mode(&rig.path("spool")), rig.spooled().len()), (0o700, 1));
}

/// The hook leaves alone what it finds instead of a folder of its own, says so, and lets the container go.
fn expect_unused(rig: &Rig, why: &str) {
    let outcome = rig.run("createRuntime", &rig.state(json!({})));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let log = rig.log();
    assert!(log.contains("failed to spool notice of container c1") && log.contains(why), "{log}");
}

#[test]
fn a_link_or_a_file_is_not_used() {
    let rig = Rig::new();
    fs::create_dir(rig.path("elsewhere")).unwrap();
    symlink(rig.path("elsewhere"), rig.path("spool")).unwrap();
    expect_unused(&rig, "spool");
    assert_eq!(fs::read_dir(rig.path("elsewhere")).unwrap().count(), 0);

    let rig = Rig::new();
    fs::write(rig.path("spool"), "").unwrap();
    expect_unused(&rig, "spool");
}

#[test]
fn somebody_elses_folder_is_not_used() {
    let rig = Rig::new();
    fs::create_dir(rig.path("spool")).unwrap();
    if chown(rig.path("spool"), Some(1234), None).is_err() {
        println!("skipped: only root can make a folder somebody else's");
        return;
    }
    expect_unused(&rig, "belongs to uid 1234");
    assert!(rig.spooled().is_empty());
}

#[test]
fn a_full_spool_takes_no_more() {
    let rig = Rig::new();
    fs::create_dir(rig.path("spool")).unwrap();
    for i in 0..1023 {
        fs::write(rig.path(&format!("spool/{i:020}-1.json")), "").unwrap();
    }
    let count = || fs::read_dir(rig.path("spool")).unwrap().count();
    assert_eq!(rig.run("createRuntime", &rig.state(json!({}))).code, Some(0));
    assert_eq!(count(), 1024, "{}", rig.log());
    expect_unused(&rig, "this one is dropped");
    assert_eq!(count(), 1024);
}

#[test]
fn hooks_that_run_at_once_do_not_overwrite_each_other() {
    let rig = Rig::new();
    let children: Vec<_> = (0..16)
        .map(|_| {
            let mut child = rig.hook(SLACK).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(rig.state(json!({})).as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        assert_eq!(finish(child, Instant::now()).code, Some(0));
    }
    assert_eq!(rig.spooled().len(), 16);
    assert_eq!(rig.log().lines().count(), 16);
}

#[test]
fn a_notice_too_large_for_a_frame_is_spooled_as_it_would_have_been_sent() {
    let rig = Rig::new();
    let outcome = run(&mut rig.hook(SLACK), rig.state(json!({ "big": "x".repeat(300 << 10) })).as_bytes());
    assert_eq!(outcome.code, Some(0));
    let [notice] = &rig.spooled()[..] else { panic!("not one notice") };
    assert!(notice.truncated && notice.annotations.len() == 1);
}
