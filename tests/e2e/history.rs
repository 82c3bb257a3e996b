//! What was, on disk: each event once whatever is killed when, within its bounds, and what is missing is told.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    process::{Command, Stdio},
};

use remora_tests::{Bed, Bundle, Events, output, run, wait_for};

/// A bed with history, whose daemon itself remembers next to nothing.
fn forgetful() -> Bed {
    remembering("64KiB")
}

fn remembering(bytes: &str) -> Bed {
    Bed::cold()
        .with("history", "enabled = true")
        .with("limits", &format!("history_bytes = \"{bytes}\""))
        .with("limits", "series_linger = \"1s\"")
        .with("limits", "ended = 0")
}

fn traced(bed: &Bed, name: &str, command: &[&str]) {
    let mut args = vec!["run", "--name", name, "--trace", "exec", "--"];
    args.extend(command);
    output(&mut bed.remora(&args));
}

/// What is stored of a container.
fn since(bed: &Bed, more: &[&str]) -> Events {
    let args = [&["events", "--since", "1h", "--format", "json"], more].concat();
    Events::parse(&run(&mut bed.remora(&args))).only(|e| e.get("event").is_some())
}

fn stored(bed: &Bed, name: &str, events: usize) -> Events {
    wait_for("the events to be stored", || {
        let found = since(bed, &["--container", name]);
        (found.len() >= events).then_some(found)
    })
}

/// The last arguments of what was executed.
fn numbers(events: &Events) -> Vec<u64> {
    let last =
        |e: &serde_json::Value| e["process"]["command_args"].as_array()?.last()?.as_str()?.parse().ok();
    events.named("exec").0.iter().filter_map(last).collect()
}

fn failures(bed: &Bed, reason: &str) -> f64 {
    bed.value("remora_history_failures_total", &[("reason", reason)]).unwrap_or_default()
}

#[test]
fn a_container_that_is_gone_can_still_be_asked_about() {
    let bed = forgetful();
    let file = bed.path("events.ndjson");
    let mut bed = bed.with("events", &format!("file = \"{}\"", file.display()));
    bed.start();
    traced(&bed, "web", &["sh", "-c", "ls /; uname; exit 0"]);
    traced(&bed, "other", &["true"]);
    let web = stored(&bed, "web", 6);
    // The file that is written beside it says the same, to the letter.
    let text = wait_for("the file", || fs::read_to_string(&file).ok().filter(|t| t.contains("\"other\"")));
    assert_eq!(web.0, Events::parse(&text).of_container("web").0);
    assert_eq!(since(&bed, &["--container", "web", "--event", "exec"]).len(), 3);
    assert_eq!(since(&bed, &["--where", "exit.code == 0", "--container", "other"]).len(), 1);
    let listed = |bed: &Bed, args: &[&str]| run(&mut bed.remora(args)).contains("web");
    wait_for("its account", || listed(&bed, &["ps", "--all"]).then_some(()));
    wait_for("it to be forgotten", || (!listed(&bed, &["ps"])).then_some(()));
    bed.stop();
    bed.start();
    assert_eq!(stored(&bed, "web", 6).0, web.0);
    assert!(listed(&bed, &["ps", "--all"]));
    assert_eq!(bed.container("web").expect("its account")["ledger"]["tracers"]["exec"]["delivered"], 6);
    let mode = fs::metadata(bed.path("state/history/events.db")).expect("no file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(bed.value("remora_history_up", &[]), Some(1.0));
    bed.assert_empty();
}

#[test]
fn each_event_is_stored_once_whenever_the_daemon_is_killed() {
    // A new daemon finds what the ring has kept all at once.
    let mut bed = remembering("1MiB");
    bed.start();
    let script = "i=0; while [ $i -lt 3000 ]; do /bin/true $i; i=$((i+1)); done";
    let bundle = Bundle::new(&bed, "counts", "exec", &["/bin/sh", "-c", script]);
    let mut child = bundle.start();
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(400));
        bed.kill();
        bed.start();
    }
    child.wait().expect("failed to wait");
    bundle.delete();
    let all = wait_for("all numbers", || {
        let found = since(&bed, &["--container", "counts"]);
        (numbers(&found).last() == Some(&2999)).then_some(found)
    });
    let numbers = numbers(&all);
    let odd: Vec<_> = numbers.windows(2).filter(|w| w[0] + 1 != w[1]).collect();
    assert!(numbers.len() == 3000 && odd.is_empty(), "{} of 3000, {odd:?}", numbers.len());
    assert_eq!(bed.value("remora_history_gaps_total", &[]), Some(0.0));
}

#[test]
fn from_the_past_into_the_present_without_a_seam() {
    let mut bed = forgetful();
    bed.start();
    traced(&bed, "first", &["true"]);
    stored(&bed, "first", 2);
    let mut follower = bed
        .remora(&["events", "--since", "1h", "--follow", "--event", "exec", "--format", "json", "-n", "3"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().expect("failed to start");
    let mut lines = BufReader::new(follower.stdout.take().expect("stdout")).lines();
    let mut next =
        || lines.by_ref().find(|l| l.as_ref().is_ok_and(|l| l.contains("\"event\""))).expect("a line");
    let name = |line: std::io::Result<String>| Events::parse(&line.expect("a line")).texts("container.name");
    assert_eq!(name(next()), ["first"]);
    traced(&bed, "second", &["true"]);
    assert_eq!(name(next()), ["second"]);
    bed.kill();
    bed.start();
    traced(&bed, "third", &["true"]);
    assert_eq!(name(next()), ["third"]);
    assert!(follower.wait().expect("failed to wait").success());
}

#[test]
fn what_is_asked_for_and_not_there_is_told() {
    let mut bed = forgetful();
    bed.start();
    traced(&bed, "web", &["true"]);
    stored(&bed, "web", 2);
    // An hour ago there was no history.
    let asked = output(&mut bed.remora(&["events", "--since", "1h", "--format", "json"]));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("events are missing"), "{asked:?}");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let now = run(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]));
    let asked = output(&mut bed.remora(&["events", "--since", now.trim()]));
    assert!(asked.status.success() && asked.stderr.is_empty(), "{asked:?}");
    for wrong in [&["--since", "yesterday"][..], &["--until", "1h"], &["--since", "1h", "--after", "7"]] {
        assert!(!output(&mut bed.remora(&[&["events"], wrong].concat())).status.success(), "{wrong:?}");
    }
}

#[test]
fn without_history_a_time_begins_with_what_the_daemon_remembers() {
    let bed = Bed::new();
    traced(&bed, "web", &["true"]);
    bed.ended("web");
    assert_eq!(since(&bed, &["--container", "web"]).len(), 2);
    assert!(!bed.path("state/history/events.db").exists());
    assert_eq!(bed.value("remora_history_up", &[]), None);
}

/// Bytes of the history's file and its log.
fn size(bed: &Bed) -> u64 {
    let bytes =
        |end: &str| fs::metadata(bed.path(&format!("state/history/events.db{end}"))).map_or(0, |m| m.len());
    ["", "-wal", "-shm"].map(bytes).iter().sum()
}

#[test]
fn a_flood_stays_within_the_bound() {
    const BOUND: u64 = 8 << 20;
    let mut bed = Bed::cold().with("history", "enabled = true").with("history", "max_bytes = \"8MiB\"");
    bed.start();
    // Arguments that cannot be packed well.
    let script = "i=0; while [ $i -lt 4000 ]; do /bin/true $(head -c 2000 /dev/urandom | od -An -tx1 | tr -d ' \\n') $i; i=$((i+1)); done";
    let bundle = Bundle::new(&bed, "flood", "exec", &["/bin/sh", "-c", script]);
    let mut child = bundle.start();
    let mut most = 0;
    while child.try_wait().expect("failed to wait").is_none() {
        most = most.max(size(&bed));
        assert!(most <= BOUND, "{most} bytes");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bundle.delete();
    wait_for("the last", || (numbers(&since(&bed, &[])).last() == Some(&3999)).then_some(()));
    let kept = numbers(&since(&bed, &[]));
    assert!(most > BOUND / 3 && kept.first() > Some(&0), "{most} bytes, {:?}", kept.first());
    assert!(kept.windows(2).all(|w| w[0] + 1 == w[1]), "what is kept has no holes");
    assert!(size(&bed) <= BOUND);
}

/// Unmounted when dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn new(path: std::path::PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).expect("failed to make a folder");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(&path));
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_else_suffers() {
    let mut bed = Bed::cold().with("history", "enabled = true");
    let disk = Small::new(bed.path("state/history"), "size=16m");
    bed.start();
    traced(&bed, "before", &["true"]);
    stored(&bed, "before", 2);
    let filler = disk.0.join("filler");
    let mut file = File::create(&filler).expect("failed to make a file");
    while file.write_all(&[1; 4096]).is_ok() {}
    traced(
        &bed,
        "during",
        &[
            "sh",
            "-c",
            "for i in 1 2 3; do /bin/true $(head -c 1500 /dev/urandom | od -An -tx1 | tr -d ' \\n') $i; done",
        ],
    );
    wait_for("it to be noticed", || {
        (failures(&bed, "disk_full") + failures(&bed, "other") > 0.0).then_some(())
    });
    assert_eq!(bed.value("remora_history_up", &[]), Some(0.0));
    assert!(bed.log().contains("failed to write the history"), "{}", bed.log());
    // The stream goes on.
    assert!(bed.events_of("during").named("exec").len() >= 4);
    drop(file);
    fs::remove_file(filler).expect("failed to remove");
    let during = wait_for("it to be stored", || {
        let found = since(&bed, &["--container", "during"]);
        (numbers(&found).last() == Some(&3)).then_some(found)
    });
    assert_eq!(during.0, bed.events_of("during").0);
    wait_for("it to work again", || (bed.value("remora_history_up", &[])? == 1.0).then_some(()));
    bed.stop();
}

#[test]
fn a_damaged_file_is_set_aside() {
    let mut bed = Bed::cold().with("history", "enabled = true");
    bed.start();
    traced(&bed, "before", &["true"]);
    stored(&bed, "before", 2);
    bed.stop();
    let path = bed.path("state/history/events.db");
    for at in (0..fs::metadata(&path).expect("no file").len()).step_by(4096) {
        File::options()
            .write(true)
            .open(&path)
            .expect("no file")
            .write_all_at(&[0xa5; 64], at)
            .expect("failed");
    }
    bed.start();
    traced(&bed, "after", &["true"]);
    stored(&bed, "after", 2);
    assert_eq!(failures(&bed, "damaged"), 1.0);
    assert!(bed.log().contains("is damaged") && bed.path("state/history/events.db.damaged").exists());
}
