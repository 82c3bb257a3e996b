//! Processes killed for want of memory: each within a limit of its own, so that no machine ever runs out of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use remora_tests::{Bed, Bundle, events::text, run, wait_for};
use serde_json::Value;

const LIMIT: u64 = 32 << 20;
/// Takes all memory there is, or, whatever else goes wrong, its share of the address space.
const EATER: &str = "ulimit -v 1000000; busybox tail /dev/zero >/dev/null 2>&1";

/// A container that waits with eating memory, and where its memory is accounted for.
struct Eater {
    bundle: Bundle,
    child: Child,
    memory: PathBuf,
}

impl Eater {
    /// In a cgroup of this path, behind the bed's name: suites may run side by side.
    fn start(bed: &Bed, path: &str, trace: &str) -> Self {
        let id = path.rsplit('/').next().expect("a name");
        let path = format!("remora-test/{}-{path}", bed.path("").file_name().expect("a name").display());
        let wait = |file: &str| format!("while [ ! -e /tmp/{file} ]; do sleep 0.05; done");
        let script = format!("{}; ({EATER}); echo $? >/tmp/status; {}", wait("go"), wait("end"));
        let bundle = Bundle::with(bed, id, &["/bin/sh", "-c", &script], |config| {
            config["linux"]["cgroupsPath"] = format!("/{path}").into();
            if !trace.is_empty() {
                config["annotations"]["io.remora.trace"] = trace.into();
            }
        });
        let child = bundle.start();
        let pid = wait_for("the container to run", || bundle.pid());
        let memory = memory_of(bed, pid, &path);
        Self { bundle, child, memory }
    }

    /// Lets it eat; its exit status.
    fn eat(&self) -> String {
        fs::write(self.bundle.rootfs().join("tmp/go"), "").expect("failed to write");
        let status = self.bundle.rootfs().join("tmp/status");
        let status = wait_for("the kill", || fs::read_to_string(&status).ok().filter(|s| s.ends_with('\n')));
        status.trim().to_owned()
    }

    fn end(mut self) {
        fs::write(self.bundle.rootfs().join("tmp/end"), "").expect("failed to write");
        self.child.wait().expect("failed to wait");
        drop(self.bundle);
        // The runtime removes what it made for the container alone.
        let _ = fs::remove_dir(&self.memory);
    }
}

/// The memory cgroup of a container: its own, or, where its runtime knows of none, one that is made for it.
fn memory_of(bed: &Bed, pid: u32, path: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the container is gone");
    let line = |f: &dyn Fn(&str) -> bool| text.lines().find(|l| l.split(':').nth(1).is_some_and(f));
    let place = |l: &str| l.splitn(3, ':').nth(2).expect("a path").trim_start_matches('/').to_owned();
    let Some(old) = line(&|c| c.split(',').any(|c| c == "memory")) else {
        let dir = Path::new("/sys/fs/cgroup").join(place(line(&str::is_empty).expect("a cgroup")));
        assert!(dir.join("memory.max").exists(), "no memory controller in {}", dir.display());
        assert!(dir.ends_with(path), "{} is not the container's own", dir.display());
        return dir;
    };
    let dir = hierarchy(bed).join(path);
    if Path::new(&place(old)).ends_with(path) {
        return dir;
    }
    fs::create_dir_all(&dir).expect("failed to make a cgroup");
    fs::write(dir.join("cgroup.procs"), pid.to_string()).expect("failed to move the container");
    dir
}

/// Where memory's own hierarchy is mounted, if need be for this test alone.
fn hierarchy(bed: &Bed) -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("no mountinfo");
    // One that is there for everybody: another test's goes.
    let is_memory = |l: &&str| l.split_once(" - cgroup ").is_some_and(|(_, o)| o.ends_with("memory"));
    let places = mounts.lines().filter(is_memory).filter_map(|l| l.split(' ').nth(4));
    if let Some(place) = places.into_iter().find(|p| p.starts_with("/sys/fs/cgroup/")) {
        return place.into();
    }
    let dir = bed.path("memory");
    if dir.join("tasks").exists() {
        return dir;
    }
    fs::create_dir_all(&dir).expect("failed to make a folder");
    run(Command::new("mount").args(["-t", "cgroup", "-o", "memory", "cgroup"]).arg(&dir));
    dir
}

/// The mount of the test's own goes with it, and a pod's cgroup, in each hierarchy.
fn clean(bed: &Bed) {
    let pod = format!("remora-test/{}-pod", bed.path("").file_name().expect("a name").display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("no mountinfo");
    for mount in mounts.lines().filter(|l| l.contains(" - cgroup")) {
        let _ = fs::remove_dir(Path::new(mount.split(' ').nth(4).expect("a mount point")).join(&pod));
    }
    let _ = Command::new("umount").arg(bed.path("memory")).stderr(Stdio::null()).status();
}

fn limit(memory: &Path, bytes: u64) {
    let new = memory.join("memory.max");
    let file = if new.exists() { new } else { memory.join("memory.limit_in_bytes") };
    fs::write(&file, bytes.to_string()).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}

/// Kills, as the cgroup itself counts them.
fn kills(memory: &Path) -> u64 {
    let files = ["memory.events", "memory.oom_control"].map(|f| fs::read_to_string(memory.join(f)));
    let text = files.into_iter().find_map(Result::ok).expect("no counter");
    let line = text.lines().find_map(|l| l.strip_prefix("oom_kill ")).expect("no kills");
    line.parse().expect("a number")
}

/// The kernel's log of a kill; a number of it, by the word before.
fn logged(pid: &str, word: &str) -> u64 {
    let log = run(&mut Command::new("dmesg"));
    let line = log.lines().rfind(|l| l.contains(&format!("Killed process {pid} (")));
    let line = line.unwrap_or_else(|| panic!("nothing logged about {pid}"));
    let number = line.split_once(&format!(" {word}:")).expect("the word").1;
    number.split(|c: char| !c.is_ascii_digit()).next().expect("a number").parse().expect("a number")
}

fn number(event: &Value, path: &str) -> u64 {
    text(event, path).parse().unwrap_or_else(|_| panic!("no number at {path}: {event}"))
}

/// As Trio, which would have this done outside of any limit.
#[test]
fn kills_of_this_container_alone() {
    let mut bed = Bed::tracing("oom");
    bed.start();
    let this = Eater::start(&bed, "oom-this", "oom");
    let other = Eater::start(&bed, "oom-other", "");
    let none = this.memory.parent().expect("a parent").join("oom-none");
    fs::create_dir_all(&none).expect("failed to make a cgroup");
    for memory in [&this.memory, &other.memory, &none] {
        limit(memory, LIMIT);
        assert_eq!(kills(memory), 0, "{}", memory.display());
    }
    let script = format!("echo $$ >{}/cgroup.procs; {EATER}", none.display());
    let status = Command::new("sh").args(["-c", &script]).status().expect("failed to run");
    assert!(!status.success(), "{status}");
    assert_eq!((other.eat(), this.eat()), ("137".into(), "137".into()));
    assert_eq!([&this.memory, &other.memory, &none].map(|m| kills(m)), [1; 3]);
    let _ = fs::remove_dir(&none);
    other.end();
    this.end();
    bed.ended("oom-this");
    clean(&bed);
    let all = bed.events();
    assert_eq!(all.len(), 1, "{all:?}");
    let event = all.of_container("oom-this");
    let event = event.named("oom_kill");
    let event = event.first();
    assert_eq!(text(event, "process.comm"), "busybox");
    assert_eq!(text(event, "oom_kill.scope"), "container", "{event}");
    assert_eq!(number(event, "oom_kill.limit"), LIMIT);
    assert!((LIMIT / 2..=LIMIT).contains(&number(event, "oom_kill.usage")), "{event}");
    assert_eq!(number(event, "oom_kill.kills"), 1);
    assert_eq!(text(event, "oom_kill.trigger.same_container"), "true");
    let pid = text(event, "process.pid");
    assert_eq!(number(event, "oom_kill.virtual"), logged(&pid, "total-vm") << 10);
    assert_eq!(number(event, "oom_kill.score_adj"), logged(&pid, "oom_score_adj"));
    assert_eq!(number(event, "oom_kill.page_tables"), logged(&pid, "pgtables") << 10);
    let (anonymous, rss) = (number(event, "oom_kill.anonymous"), logged(&pid, "anon-rss") << 10);
    assert!(anonymous.abs_diff(rss) <= 4 << 20 && rss > LIMIT / 2, "{anonymous} against {rss}");
    let series = bed.series("remora_oom_kills_total");
    let series: Vec<_> = series.iter().map(|s| (s.label("container"), s.label("scope"), s.value)).collect();
    assert_eq!(series, [(Some("oom-this"), Some("container"), 1.0)]);
}

#[test]
fn kills_for_a_limit_around_the_container() {
    let mut bed = Bed::tracing("oom");
    bed.start();
    let eater = Eater::start(&bed, "pod/oom-inner", "oom");
    let pod = eater.memory.parent().expect("a parent").to_owned();
    limit(&pod, LIMIT);
    assert_eq!(eater.eat(), "137");
    eater.end();
    bed.ended("oom-inner");
    clean(&bed);
    let events = bed.events_of("oom-inner").named("oom_kill");
    assert_eq!(events.len(), 1, "{events:?}");
    let event = events.first();
    // Without a program where the kernel decides, and without the old memory controller's marks, nothing tells.
    let view = bed.tracer("oom");
    let decides = view["chosen"].as_array().is_some_and(|c| c.iter().any(|p| p == "decided"));
    if !decides && text(event, "oom_kill.scope") == "unknown" {
        assert_eq!(text(event, "oom_kill.limit"), "");
        return;
    }
    assert_eq!(text(event, "oom_kill.scope"), "outer_cgroup", "{event}");
    assert_eq!(number(event, "oom_kill.limit"), LIMIT);
}
