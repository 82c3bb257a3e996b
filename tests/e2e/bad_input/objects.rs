//! BPF objects that are damaged, wrong or not to be trusted.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Output,
};

use remora_tests::{Bed, Bundle, events::text, fixture, fixtures::fixtures, output, run};

use super::{Random, few, still_works};

/// What is wrong with each `bad_*` fixture: words of the message. None: only beside another tracer.
const WRONG: &[(&str, Option<&str>)] = &[
    ("abi", Some("contract 99")),
    ("anonymous", Some("struct bad_event: member 1: anonymous")),
    ("array", Some("struct bad_event: member numbers: array of __u32")),
    ("bitfield", Some("struct bad_event: member few: bit field")),
    ("builtin", None),
    ("collides", Some("map bad_map: key member container")),
    ("counter", Some("map bad_map: value member times: a histogram cannot be a counter")),
    ("float", Some("struct bad_event: member part: a float")),
    ("hertz", Some("program looked: sample \"5000\" is not 1 to 1000")),
    ("index", Some("map bad_map: key")),
    ("label", Some("map bad_map: key member path: a path cannot be a label")),
    ("map", Some("map bad_map: a LpmTrie cannot hold metrics")),
    ("meaning", Some("struct bad_event: member port: remora_be16 of 1 bytes")),
    ("name", Some("\"Wrong\"")),
    ("pointer", Some("struct bad_event: member where: a pointer")),
    ("refresh", Some("program refreshed: refresh: the tracer has no map nowhere")),
    ("reserved", Some("name all is reserved")),
    ("row", Some("map bad_map: key has no member of type remora_index")),
    ("sample", Some("program looked: it does not say how often")),
    ("section", Some("program passes: section xdp")),
    ("shares", Some("map bad_map: value member at shares.sum: in a per-CPU map")),
    ("silent", Some("REMORA_TRACER")),
    ("stack", Some("map bad_map: key has a remora_user_stack and not")),
    ("tag", Some("unknown tag \"remora:hlep\" on bad_event")),
    ("tail", Some("map bad_map: value member at said.said: a table has no tails")),
    ("taken", Some("member at container.id")),
    ("twice", Some("struct bad_event: two members are shown at bad.same")),
    ("union", Some("struct bad_event: member either: a union")),
    ("unscoped", Some("program wrong does not ask whose event it is")),
];

fn check(bed: &Bed, object: &Path) -> Output {
    output(bed.remora(&["check"]).arg(object))
}

/// It ends by itself, with an error or without; what it said.
fn survived(bed: &Bed, object: &Path, what: &str) -> (i32, String) {
    let output = check(bed, object);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{what}: {}\n{said}", output.status));
    assert!(code <= 1, "{what}: {}\n{said}", output.status);
    assert!(code == 0 || said.contains(&object.display().to_string()), "{what}: no file named in {said:?}");
    (code, said)
}

/// A bed for `remora check`, and where to put an object.
fn bench() -> (Bed, PathBuf) {
    let bed = Bed::cold();
    bed.write_config();
    let object = bed.path("object.bpf.o");
    (bed, object)
}

#[test]
fn each_fault_is_told_by_file_and_offender() {
    let known: Vec<&str> = WRONG.iter().map(|(name, _)| *name).collect();
    assert_eq!(fixtures("bad_"), known);
    let (bed, _) = bench();
    for (name, words) in WRONG {
        let Some(words) = words else { continue };
        let (code, said) = survived(&bed, &fixture(&format!("bad_{name}")), name);
        assert!(code == 1 && said.contains(words), "{name}: {words:?} is not in {said:?}");
    }
}

#[test]
fn a_daemon_among_wrong_tracers_works_with_the_others() {
    let mut bed =
        WRONG.iter().fold(Bed::preloading(), |bed, (name, _)| bed.with_fixture(&format!("bad_{name}")));
    bed.start();
    let all = bed.json("/v1/tracers");
    let all = all.as_array().expect("a list");
    // These are understood, and refused when they are loaded.
    let late = ["section", "unscoped"];
    for (name, words) in WRONG.iter().filter(|(name, _)| !late.contains(name)) {
        let file = format!("bad_{name}.bpf.o");
        let tracer =
            all.iter().find(|t| t["name"] == *file).unwrap_or_else(|| panic!("{file} is not listed"));
        assert_eq!(tracer["state"], "failed", "{tracer}");
        let problem = text(tracer, "problem");
        assert!(
            problem.contains(&file) && problem.contains(words.unwrap_or("already called exec")),
            "{problem}"
        );
        assert!(bed.log().contains(&problem), "{problem}");
    }
    let ended = still_works(&bed, "bad,section,exec");
    for (tracer, words) in [("bad", "program wrong"), ("section", "section xdp")] {
        assert_eq!(bed.tracer(tracer)["state"], "failed");
        assert!(ended["ledger"]["notes"].to_string().contains(words), "{ended}");
        nothing_of(&bed, tracer);
    }
    assert!(bed.get("/metrics").contains("remora_tracer_state{tracer=\"bad_abi.bpf.o\",state=\"failed\"} 1"));
}

/// No pin and no state of a tracer that was refused.
fn nothing_of(bed: &Bed, tracer: &str) {
    let state = bed.path("state/tracers");
    let mut left: Vec<PathBuf> =
        fs::read_dir(&state).expect("no state").flatten().map(|e| e.path()).collect();
    left.retain(|p| p.file_stem().is_some_and(|s| s == tracer));
    let versions = fs::read_dir(bed.pins()).expect("no pins").flatten();
    left.extend(versions.map(|v| v.path().join("tracers").join(tracer)).filter(|p| p.exists()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn truncated_objects() {
    let (bed, object) = bench();
    let whole = fs::read(fixture("golden")).expect("no fixture");
    for end in (0..whole.len()).step_by(if few(2) == 2 { 512 } else { 5120 }) {
        fs::write(&object, &whole[..end]).expect("failed to write");
        let (code, said) = survived(&bed, &object, &format!("{end} bytes"));
        assert_eq!(code, 1, "{end} bytes: {said}");
    }
}

/// Where the BTF lies, by its header.
fn btf(object: &[u8]) -> usize {
    let header = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    object.windows(8).position(|w| w == header).expect("no BTF")
}

#[test]
fn wrong_and_missing_btf() {
    let (bed, object) = bench();
    let golden = fs::read(fixture("golden")).expect("no fixture");
    let other = fs::read(fixture("packets")).expect("no fixture");
    let mut swapped = golden.clone();
    let (to, from) = (btf(&golden), &other[btf(&other)..]);
    let len = from.len().min(golden.len() - to).min(4096);
    swapped[to..to + len].copy_from_slice(&from[..len]);
    let mut nameless = golden.clone();
    for at in 0..nameless.len() - 4 {
        if &nameless[at..at + 4] == b".BTF" {
            nameless[at + 1] = b'X';
        }
    }
    for (what, bytes) in [("swapped", swapped), ("nameless", nameless), ("no ELF", b"#!/bin/sh\n".to_vec())] {
        fs::write(&object, bytes).expect("failed to write");
        let (code, said) = survived(&bed, &object, what);
        assert_eq!(code, 1, "{what}: {said}");
    }
}

/// The fixture with some bytes changed, in its BTF or anywhere.
fn damaged(whole: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let in_btf = btf(whole) + 24..(btf(whole) + 8192).min(whole.len());
    let range = if random.below(3) < 2 { in_btf } else { 0..whole.len() };
    for _ in 0..1 << random.below(4) {
        bytes[range.start + random.below(range.len())] = random.below(256) as u8;
    }
    bytes
}

#[test]
fn damaged_objects() {
    let (bed, object) = bench();
    let mut random = Random(0x5eed);
    for whole in ["golden", "numbers"].map(|name| fs::read(fixture(name)).expect("no fixture")) {
        for n in 0..few(150) {
            fs::write(&object, damaged(&whole, &mut random)).expect("failed to write");
            survived(&bed, &object, &format!("object {n}"));
        }
    }
}

#[test]
fn a_daemon_among_damaged_objects() {
    let mut bed = Bed::preloading();
    let mut random = Random(0xdead);
    let whole = fs::read(fixture("numbers")).expect("no fixture");
    for n in 0..few(40) {
        let path = bed.tracers_dir().join(format!("damaged-{n:02}.bpf.o"));
        fs::write(path, damaged(&whole, &mut random)).expect("failed to write");
    }
    bed.start();
    Bundle::new(&bed, "among", "all", &["/bin/sh", "-c", "/bin/true; true"]).run();
    bed.ended("among");
    assert_eq!(bed.events().of_container("among").named("exec").len(), 2);
    assert!(bed.get("/metrics").contains("remora_build_info"));
    bed.assert_empty();
    bed.stop();
}

/// What comes over the API is looked into in the same way, and nothing of it stays.
#[test]
fn a_daemon_that_is_sent_wrong_and_damaged_objects() {
    let bed = Bed::new();
    let object = bed.path("sent.bpf.o");
    let load = || output(bed.remora(&["tracer", "load"]).arg(&object));
    let before = bed.get("/v1/tracers");
    for (name, words) in WRONG {
        // Without words: one that calls itself like a built-in tracer, whose place it may take.
        let Some(words) = words else { continue };
        fs::copy(fixture(&format!("bad_{name}")), &object).expect("failed to copy");
        let answer = load();
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(!answer.status.success() && said.contains(words), "{name}: {words:?} is not in {said:?}");
    }
    assert_eq!(bed.get("/v1/tracers"), before, "something stayed");
    let mut random = Random(0xfeed);
    let whole = fs::read(fixture("numbers")).expect("no fixture");
    for _ in 0..few(40) {
        fs::write(&object, damaged(&whole, &mut random)).expect("failed to write");
        load();
    }
    still_works(&bed, "exec");
}

#[test]
fn objects_that_others_could_have_written() {
    let bed = Bed::cold();
    let dir = bed.tracers_dir();
    let put = |name: &str| {
        let path = dir.join(format!("{name}.bpf.o"));
        fs::copy(fixture("golden"), &path).expect("failed to copy");
        path
    };
    chown(put("owned"), Some(65534), None).expect("failed to chown");
    for (name, mode) in [("group", 0o664), ("world", 0o646)] {
        fs::set_permissions(put(name), fs::Permissions::from_mode(mode)).expect("failed to chmod");
    }
    symlink(fixture("golden"), dir.join("link.bpf.o")).expect("failed to link");
    fs::create_dir(dir.join("folder.bpf.o")).expect("failed to make a folder");
    run(std::process::Command::new("mkfifo").arg(dir.join("pipe.bpf.o")));
    let mut bed = bed;
    bed.start();
    let reasons = [
        ("owned", "owned by user 65534"),
        ("group", "mode 664"),
        ("world", "mode 646"),
        ("link", "symbolic link"),
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
    ];
    for (name, why) in reasons {
        let problem = text(&bed.tracer(&format!("{name}.bpf.o")), "problem");
        assert!(problem.contains(&format!("{name}.bpf.o")) && problem.contains(why), "{problem}");
    }
    assert!(!bed.get("/v1/tracers").contains("\"golden\""));
    bed.stop();
    fs::set_permissions(bed.tracers_dir(), fs::Permissions::from_mode(0o777)).expect("failed to chmod");
    fs::copy(fixture("oneof"), bed.tracers_dir().join("fine.bpf.o")).expect("failed to copy");
    bed.start();
    assert!(text(&bed.tracer("fine.bpf.o"), "problem").contains("tracers.d: has mode 777"));
    bed.assert_empty();
}
