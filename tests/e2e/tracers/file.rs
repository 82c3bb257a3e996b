//! `file`: what is done to files, by system calls and through io_uring, against strace, what the program itself says
//! of it, and the files; bytes by volume; what parameters leave out.

use std::fs;

use remora_tests::{Bed, Bundle, Events, Trio, events::text};
use serde_json::{Value, json};

use crate::truth::{self, by_pid, compare};

/// An event as `act files` says it.
fn line(event: &Value) -> String {
    let name = text(event, "event.name");
    let own = |field: &str| text(event, &format!("{name}.{field}"));
    let set = |field: &str| if own(field) == "true" { format!(" {field}") } else { String::new() };
    let path = text(event, "file.path");
    let said = match name.as_str() {
        "open" => format!("{path}{}{} fd={}", set("created"), set("pending"), own("fd")),
        "unlink" => format!("{path}{}", set("directory")),
        "rename" => format!("{} {} {}", own("old_path"), own("new_path"), own("flags")),
        "link" => format!("{} {}", own("old_path"), own("new_path")),
        "symlink" => format!("{path} {}", text(event, "file.symbolic_link.target_path")),
        "chmod" => format!("{path} {}{}", text(event, "file.mode"), set("nofollow")),
        "chown" => {
            let ids = ["file.owner.id", "file.group.id"].map(|id| text(event, id));
            format!("{path} {}{}", ids.join(" "), set("nofollow"))
        }
        "mkdir" => format!("{path} {}", own("mode")),
        "mknod" => format!("{path} {} {} {}", own("type"), own("mode"), own("dev")),
        "truncate" => format!("{path} {}", text(event, "file.size")),
        _ => panic!("{event}"),
    };
    format!("{name} {} {}", said.trim_end(), own("error")).trim_end().to_owned()
}

/// What `act` did: its loader opens files, too.
fn acts(events: &Events) -> Events {
    let opened = |e: &Value| e["event"]["name"] == "open" && !text(e, "file.path").starts_with("/tmp/files/");
    events.only(|e| e["process"]["comm"] == "act" && !opened(e))
}

fn lines(events: &Events) -> Vec<String> {
    events.0.iter().map(line).collect()
}

/// Where io_uring is switched off, programs are refused it, and there is nothing to tell.
fn assert_switched_off(said: &str) {
    let setting = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match said.trim().strip_prefix("no io_uring: ") {
        Some("1") => assert_ne!(setting.trim(), "0", "refused, and not switched off"),
        Some("38") => assert_eq!(setting, "", "not built in, and there is a setting"),
        _ => panic!("{said}"),
    }
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What was done so often that failed, or did not.
fn count(said: &[&str], kind: &str, failed: bool) -> f64 {
    let errors = ["EPERM", "ENOENT", "EBADF", "EFAULT", "EEXIST", "ENOSYS", "EOPNOTSUPP"];
    let mine = said.iter().filter(|l| l.starts_with(&format!("{kind} ")));
    mine.filter(|l| errors.iter().any(|e| l.ends_with(e)) == failed).count() as f64
}

#[test]
fn what_is_done_is_told() {
    let act = "/bin/act files /tmp/files; echo then; /bin/act files /tmp/files ring";
    let script = format!("[ -d /tmp/files ] || mkdir /tmp/files; {act}");
    let trio = Trio::with("file", &script, |config| {
        let path = config["linux"]["cgroupsPath"].as_str().expect("a path");
        config["linux"]["cgroupsPath"] = format!("{path}-file-{}", std::process::id()).into();
    });
    let (calls, ring) = trio.printed[0].split_once("then\n").expect("both");
    // What a ring cannot do before 5.15 it refuses before anybody is told.
    let unknown = |line: &str| {
        let first = line.split(' ').next().unwrap_or_default();
        kernel() < (5, 15) && line.ends_with(" EINVAL") && ["mkdir", "symlink", "link"].contains(&first)
    };
    let ring: Vec<&str> = ring.lines().filter(|line| !unknown(line)).collect();
    let (told, by_ring): (Vec<_>, Vec<_>) = acts(&trio.events()).0.into_iter().partition(|e| !is_by_ring(e));
    // The files that it works with are opened by calls.
    let told = Events(told).only(|e| e["event"]["name"] != "open");
    let mut said: Vec<&str> = calls.lines().collect();
    assert_eq!(lines(&told), said);
    if let Some(why) = ring.first().filter(|line| line.starts_with("no io_uring")) {
        assert_switched_off(why);
        assert!(by_ring.is_empty(), "{by_ring:?}");
    } else {
        let tracer = trio.bed.tracer("file");
        let chosen = tracer["chosen"].to_string();
        assert!(chosen.contains("done") && chosen.contains("asked"), "{tracer}");
        said.extend(&ring);
        assert_eq!(lines(&Events(by_ring.clone())), ring);
        // What it printed went to a file, too, by calls; before 5.17 completions do not say of what they are.
        let written = trio.metric("remora_file_written_bytes_total") - trio.printed[0].len() as f64;
        assert_eq!(written, if kernel() < (5, 17) { 0.0 } else { 12_345.0 });
    }
    assert_eq!(trio.metric("remora_file_io_uring_total"), by_ring.len() as f64);
    let kinds = ["unlink", "rename", "link", "symlink", "chmod", "chown", "mkdir", "mknod", "truncate"];
    for kind in kinds {
        assert_eq!(trio.metric(&format!("remora_file_{kind}s_total")), count(&said, kind, false), "{kind}");
    }
    let failures: f64 = kinds.iter().map(|kind| count(&said, kind, true)).sum();
    assert_eq!(trio.metric("remora_file_change_failures_total"), failures);
}

fn is_by_ring(event: &Value) -> bool {
    text(event, &format!("{}.io_uring", text(event, "event.name"))) == "true"
}

const SCRIPT: &str = "mkdir -m 750 d; echo x >d/f; ln d/f d/g; ln -s nowhere d/l; ln d/none d/h 2>/dev/null; chmod 600 d/f; \
    chmod -R g+w d; chown 1:2 d/f d/none 2>/dev/null; chown -h 3 d/l; mkfifo d/p; mknod d/n c 1 3; mkdir d 2>/dev/null; \
    truncate -s 100 d/f; rm -r d; true";

/// Of two names the second.
fn second_path(arguments: &str, cwd: &str) -> String {
    truth::path(arguments.split_once("\", ").expect("two names").1, cwd)
}

#[test]
fn changes_are_those_of_strace() {
    let bed = truth::bed();
    let cwd = bed.path("").canonicalize().expect("a folder").display().to_string();
    let calls = "link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,?fchmodat2,chown,fchown,lchown,fchownat,mkdir,mkdirat,\
        mknod,mknodat,truncate,ftruncate";
    let (strace, events) = truth::traced(&bed, "changes", calls, SCRIPT);
    let expected = strace.iter().filter_map(|(pid, line)| {
        let (name, arguments, result) = truth::parts(line)?;
        let error = truth::error(result);
        let by_name = || truth::path(arguments, &cwd);
        let call = match name {
            "link" | "linkat" => format!("link {} {}", by_name(), second_path(arguments, &cwd)),
            "symlink" | "symlinkat" => format!("symlink {}", second_path(arguments, &cwd)),
            "fchmod" | "fchown" | "ftruncate" => {
                format!("{} {}", &name[1..], truth::in_brackets(arguments).expect("a file"))
            }
            other => {
                let call = other.trim_end_matches('2').trim_end_matches("at");
                format!("{} {}", call.trim_start_matches(['f', 'l']), by_name())
            }
        };
        Some((*pid, format!("{call} {error}")))
    });
    let seen = events.0.iter().filter_map(|e| {
        let name = text(e, "event.name");
        let path = match name.as_str() {
            "link" => format!("{} {}", text(e, "link.old_path"), text(e, "link.new_path")),
            "symlink" | "chmod" | "chown" | "mkdir" | "mknod" | "truncate" => text(e, "file.path"),
            _ => return None,
        };
        Some((truth::pid(e), format!("{name} {path} {}", text(e, &format!("{name}.error")))))
    });
    compare(by_pid(expected), by_pid(seen));
}

fn volume(at: &str) -> Value {
    json!({ "destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"] })
}

/// Bytes written, by mount point.
fn written(bed: &Bed) -> Vec<(String, f64)> {
    let series = bed.series("remora_file_mount_written_bytes_total");
    let mut all: Vec<_> =
        series.iter().map(|s| (s.label("mountpoint").expect("a mount point").to_owned(), s.value)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// A bed in which a container with these volumes has run to its end.
fn ran(name: &str, script: &str, volumes: impl Iterator<Item = Value>) -> Bed {
    let mut bed = Bed::tracing("file");
    bed.start();
    let bundle = Bundle::with(&bed, name, &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "file".into();
        config["mounts"].as_array_mut().expect("mounts").extend(volumes);
    });
    bundle.run();
    drop(bundle);
    let ended = bed.ended(name);
    let counts = &ended["ledger"]["tracers"]["file"];
    assert_eq!(counts["counted"], counts["delivered"], "{ended}");
    bed
}

#[test]
fn bytes_written_by_volume() {
    let shared = tempfile::tempdir().expect("a folder");
    let bind = json!({ "destination": "/volume", "type": "bind", "source": shared.path(), "options": ["bind", "rw"] });
    let script = "mkdir -p /data/deep/er; head -c 1000 /dev/zero >/data/deep/er/f; head -c 300 /dev/zero >/volume/f; \
        cat /volume/f >>/data/g; head -c 50 /dev/zero >/root/f; cat /volume/f >/dev/null";
    let bed = ran("file-volumes", script, [volume("/data"), bind].into_iter());
    assert_eq!(fs::metadata(shared.path().join("f")).expect("the file").len(), 300);
    assert_eq!(written(&bed), [("/data".into(), 1300.0), ("/volume".into(), 300.0)]);
    assert_eq!(bed.metric("remora_file_written_bytes_total"), Some(1650.0));
    let opens = bed.events_of("file-volumes").named("open");
    let mounted = |path: &str| opens.only(|e| text(e, "file.path") == path).texts("open.mounted");
    assert_eq!(mounted("/data/deep/er/f"), ["true"]);
    assert_eq!(mounted("/volume/f"), ["true"; 3]);
    assert_eq!(mounted("/root/f"), [""]);
}

#[test]
fn volumes_past_a_bound_are_one() {
    let script = "for i in $(seq 10 29); do head -c $i /dev/zero >/v$i/f; echo >/v$i/g; done";
    let bed = ran("file-many", script, (10..30).map(|i| volume(&format!("/v{i}"))));
    let mut expected: Vec<_> = (10..26).map(|i| (format!("/v{i}"), f64::from(i) + 1.0)).collect();
    expected.push(("~other".into(), f64::from((26..30).sum::<i32>()) + 4.0));
    assert_eq!(written(&bed), expected);
}

/// The paths that a container told, with the parameters given, of those below /tmp.
fn told_with(bed: &Bed, name: &str, params: &[(&str, &str)], script: &str) -> Vec<String> {
    let bundle = Bundle::with(bed, name, &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "file".into();
        for (param, value) in params {
            config["annotations"][format!("io.remora.param.file.{param}")] = (*value).into();
        }
    });
    bundle.run();
    drop(bundle);
    let ended = bed.ended(name);
    assert_eq!(ended["ledger"].get("notes"), None, "{ended}");
    let path = |e: &Value| match text(e, "event.name").as_str() {
        "rename" => format!("{} {}", text(e, "rename.old_path"), text(e, "rename.new_path")),
        _ => text(e, "file.path"),
    };
    let all: Vec<String> = bed.events_of(name).0.iter().map(path).collect();
    all.into_iter().filter(|p| p.starts_with("/tmp/")).collect()
}

const PREFIX_SCRIPT: &str = "cd /tmp; mkdir a ab a/b; cd a; echo >one; echo >b/two; echo >../ab/three; cat none b/../../ab/none \
    2>/dev/null; cd /; cat /tmp/a/b/two /tmp/ab/three /tmp/a /tmp/ab/none 2>/dev/null; mv /tmp/ab/three /tmp/a/b/three; \
    mv /tmp/ab/x /tmp/ab/y 2>/dev/null; rm /tmp/a/one; true";

#[test]
fn only_files_below_a_prefix() {
    let mut bed = Bed::tracing("file");
    bed.start();
    // `..` in a name that could not be opened: where it leads is not known, and it is told.
    let below = [
        "/tmp/a",
        "/tmp/a/b",
        "/tmp/a/one",
        "/tmp/a/b/two",
        "/tmp/a/none",
        "/tmp/a/b/../../ab/none",
        "/tmp/a/b/two",
        "/tmp/a",
        "/tmp/ab/three /tmp/a/b/three",
        "/tmp/a/one",
    ];
    assert_eq!(told_with(&bed, "file-below", &[("prefix", "/tmp/a")], PREFIX_SCRIPT), below);
    assert_eq!(told_with(&bed, "file-slash", &[("prefix", "/tmp/a/")], PREFIX_SCRIPT), below);
    let deeper: Vec<_> = below.into_iter().filter(|p| p.contains("/tmp/a/b")).collect();
    assert_eq!(told_with(&bed, "file-deeper", &[("prefix", "/tmp/a/b")], PREFIX_SCRIPT), deeper);
    let file = told_with(&bed, "file-file", &[("prefix", "/tmp/a/b/two")], PREFIX_SCRIPT);
    assert_eq!(file, ["/tmp/a/b/two", "/tmp/a/b/../../ab/none", "/tmp/a/b/two"]);
    let all = told_with(&bed, "file-all", &[("prefix", "/")], PREFIX_SCRIPT);
    assert_eq!(told_with(&bed, "file-none", &[], PREFIX_SCRIPT), all);
    assert!(all.len() > below.len() && all.contains(&"/tmp/ab/three".to_owned()), "{all:?}");
    // What is not told is counted.
    let opens = |name: &str| {
        bed.series("remora_file_opens_total")
            .iter()
            .find(|s| s.label("container") == Some(name))
            .map(|s| s.value)
    };
    assert!(opens("file-none").is_some() && opens("file-below") == opens("file-none"));
}

#[test]
fn only_failures_and_one_in_so_many() {
    let mut bed = Bed::tracing("file");
    bed.start();
    let script = "cd /tmp; mkdir d; for i in 0 1 2 3 4 5 6 7 8 9; do echo >d/$i; done; cat d/x 2>/dev/null; mkdir d 2>/dev/null; true";
    let failed = told_with(&bed, "file-failures", &[("failures_only", "1")], script);
    assert_eq!(failed, ["/tmp/d/x", "/tmp/d"]);
    let sampled = told_with(&bed, "file-sampled", &[("every", "4"), ("prefix", "/tmp")], script);
    assert_eq!(sampled, ["/tmp/d", "/tmp/d/0", "/tmp/d/4", "/tmp/d/8", "/tmp/d"]);
    let all = told_with(&bed, "file-all", &[], script);
    assert_eq!(all.len(), 13);
}
