//! Faults, resident memory and executable mappings, against /proc and what the program says it did.

use std::{
    fs,
    io::Write,
    process::{Child, Command},
};

use remora_tests::{Bed, Bundle, Events, Trio, events::text, run, wait_for};
use serde_json::Value;

/// An event as `act maps` says it; where the first of its kind lies is not said.
fn lines(events: &Events) -> Vec<String> {
    let line = |e: &Value| {
        let field = |name: &str| text(e, &format!("map_exec.{name}"));
        let protection: Vec<String> = match &e["map_exec"]["protection"] {
            Value::Array(all) => all.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect(),
            other => vec![other.as_str().unwrap_or_default().to_owned()],
        };
        let (address, path) = (field("address"), text(e, "file.path"));
        format!(
            "{} {address} {} {} {path} {}",
            field("call"),
            protection.join("|"),
            field("backing"),
            field("error")
        )
    };
    events.named("map_exec").only(|e| e["process"]["comm"] == "act").0.iter().map(line).collect()
}

fn said(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn executable_memory_once_a_kind() {
    let trio = Trio::run("memory", "/bin/act maps");
    assert_eq!(lines(&trio.events()), said(&trio.printed[0]));
    assert!(trio.events().named("map_exec").0.iter().all(|e| e["process"]["comm"] == "act"));
    assert_eq!(trio.metric("remora_memory_writable_executable_total"), 3.0);
    // What was told, all ten mprotect()s, the file of the image, the call made the 32-bit way.
    assert!(trio.metric("remora_memory_executable_total") >= 7.0 + 9.0 + 2.0);
}

#[test]
fn each_mapping_and_files_of_the_image_on_demand() {
    let mut bed = Bed::tracing("memory");
    bed.start();
    let bundle = Bundle::with(&bed, "memory-all", &["/bin/act", "maps"], |config| {
        config["annotations"]["io.remora.trace"] = "memory".into();
        config["annotations"]["io.remora.param.memory.files"] = "1".into();
        config["annotations"]["io.remora.param.memory.repeat"] = "1".into();
    })
    .with_act();
    let told = said(&bundle.run());
    drop(bundle);
    bed.ended("memory-all");
    let events = bed.events_of("memory-all");
    let seen = lines(&events);
    assert!(told.iter().all(|line| seen.contains(line)), "{told:#?} against {seen:#?}");
    let of = |end: &str| seen.iter().filter(|l| l.ends_with(end)).count();
    assert_eq!(of(" PROT_READ|PROT_EXEC image /tmp/code "), 1, "{seen:#?}");
    let protects = seen.iter().filter(|l| l.starts_with("mprotect ") && l.ends_with(" anonymous  "));
    assert_eq!(protects.count(), 10 + 1, "{seen:#?}");
    let total = bed.metric("remora_memory_executable_total").expect("a metric");
    assert_eq!(
        total as usize,
        events.named("map_exec").0.iter().filter(|e| text(e, "map_exec.error").is_empty()).count()
    );
}

/// The root is an overlay: what the container writes itself is in its upper layer.
#[test]
fn files_written_in_the_container() {
    let mut bed = Bed::tracing("memory");
    bed.start();
    let layers = bed.path("layers");
    // An overlay's layers may not lie on one: a file system of their own.
    fs::create_dir(&layers).expect("failed to make a folder");
    run(Command::new("mount").args(["-t", "tmpfs", "layers"]).arg(&layers));
    for name in ["upper", "work"] {
        fs::create_dir(layers.join(name)).expect("failed to make a folder");
    }
    let bundle = Bundle::new(&bed, "memory-upper", "memory", &["/bin/act", "maps", "upper"]).with_act();
    let root = bundle.rootfs();
    let options =
        format!("lowerdir={0},upperdir={1}/upper,workdir={1}/work", root.display(), layers.display());
    run(Command::new("mount").args(["-t", "overlay", "-o", &options, "root"]).arg(&root));
    let told = said(&bundle.run());
    run(Command::new("umount").arg("-l").arg(&root));
    run(Command::new("umount").arg("-l").arg(&layers));
    drop(bundle);
    bed.ended("memory-upper");
    assert_eq!(lines(&bed.events_of("memory-upper")), told);
}

/// A shell that waits at a pipe, grows by 8 MB and more, and waits again.
const GROW: &str = "read x </tmp/one; big=$(head -c 8388608 /dev/zero | tr '\\0' x); read x </tmp/two; \
    read x </tmp/three";

struct Grower {
    bundle: Bundle,
    child: Child,
    pid: u32,
}

impl Grower {
    fn new(bed: &Bed, name: &str, trace: &str) -> Self {
        let bundle = Bundle::new(bed, name, trace, &["/bin/sh", "-c", GROW]);
        for pipe in ["one", "two", "three"] {
            run(Command::new("mkfifo").arg(bundle.rootfs().join("tmp").join(pipe)));
        }
        let child = bundle.start();
        let pid = wait_for("the container to run", || bundle.pid());
        let grower = Self { bundle, child, pid };
        grower.settle();
        grower
    }

    /// Until it sleeps in open(), as the only process.
    fn settle(&self) {
        wait_for("the shell to wait", || {
            let call = fs::read_to_string(format!("/proc/{}/syscall", self.pid)).ok()?;
            ["2 ", "257 "].iter().any(|n| call.starts_with(n)).then_some(())
        });
    }

    /// Lets it grow, and waits until it is at the next pipe.
    fn grow(&self) {
        self.go("one");
        wait_for("the shell to grow", || (self.truth()[0] > 8e6).then_some(()));
        self.settle();
    }

    fn go(&self, pipe: &str) {
        let mut pipe = fs::OpenOptions::new()
            .write(true)
            .open(self.bundle.rootfs().join("tmp").join(pipe))
            .expect("failed to open");
        pipe.write_all(b"\n").expect("failed to write");
    }

    /// Its row, as (anonymous, file, minor faults, major faults).
    fn row(&self, bed: &Bed) -> Option<[f64; 4]> {
        let answer = bed.json(&format!("/v1/containers/{}/tables/memory_processes", self.bundle.id));
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let row = rows.into_iter().find(|r| r["process"]["pid"] == self.pid)?;
        let field = |name: &str| text(&row, &format!("memory_processes.{name}")).parse().expect("a number");
        Some(["anonymous", "file", "minor_faults", "major_faults"].map(field))
    }

    /// The same as /proc has it; faults since it began.
    fn truth(&self) -> [f64; 4] {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("no status");
        let size = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).expect("a size");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
        };
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("no stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        let number = |i: usize| fields[i].parse().expect("a number");
        [size("RssAnon:"), size("RssFile:"), number(7), number(9)]
    }

    fn end(mut self, bed: &Bed) {
        self.go("three");
        self.child.wait().expect("failed to wait");
        let id = self.bundle.id.clone();
        drop(self.bundle);
        bed.ended(&id);
    }
}

/// The kernel's counters of pages are apart by processor.
const NEAR: f64 = 1024.0 * 1024.0;

fn assert_near(mine: [f64; 4], truth: [f64; 4]) {
    for i in [0, 1] {
        assert!((mine[i] - truth[i]).abs() < NEAR, "{mine:?} against {truth:?}");
    }
}

#[test]
fn faults_and_resident_memory_are_those_of_proc() {
    let mut bed = Bed::tracing("memory");
    bed.start();
    let gauge = |name: &str| bed.metric(&format!("remora_memory_{name}")).expect(name);
    let grower = Grower::new(&bed, "memory-grows", "memory");
    let (before, truth) = (grower.row(&bed).expect("a row"), grower.truth());
    assert_near(before, truth);
    let counted = gauge("minor_faults_total");
    grower.grow();
    let mut counter = 0.0;
    // Twice: what is shown may be a tenth of a second old.
    let grown = wait_for("the growth", || {
        let row = grower.row(&bed)?;
        counter = gauge("minor_faults_total");
        (row[0] > before[0] + 8e6 && row[2] - before[2] == grower.truth()[2] - truth[2]).then_some(row)
    });
    assert_near(grown, grower.truth());
    assert!(grown[2] - before[2] >= 2048.0, "8 MB are 2,048 pages: {before:?} {grown:?}");
    // Beside the shell's there are those of the processes that made it grow.
    assert!(counter - counted >= grown[2] - before[2], "{counter} {counted} {grown:?}");
    assert!((gauge("anonymous_bytes") - grown[0]).abs() < NEAR);
    grower.go("two");
    grower.end(&bed);
    let peaks = gauge("peak_bytes_count");
    assert!(peaks >= 3.0, "{peaks}");
    assert!(gauge("peak_bytes_sum") >= 8e6);
    wait_for("the memory to be gone", || (gauge("anonymous_bytes") == 0.0).then_some(()));
}

/// Switched on for a container that runs: what there is shows at once, faults count from then on.
#[test]
fn processes_that_were_there_before() {
    let mut bed = Bed::tracing("memory,exec");
    bed.start();
    let grower = Grower::new(&bed, "memory-late", "exec");
    grower.grow();
    run(&mut bed.remora(&["tracer", "on", "memory", "memory-late"]));
    let row = wait_for("the process", || grower.row(&bed));
    assert_near(row, grower.truth());
    assert!(row[0] > 8e6 && row[2] == 0.0, "{row:?}");
    run(&mut bed.remora(&["tracer", "off", "memory", "memory-late"]));
    grower.go("two");
    grower.end(&bed);
}

/// What a process that ended had at most, and its faults, as wait4() tells its parent.
#[test]
fn ended_processes() {
    let mut bed = Bed::tracing("memory");
    bed.start();
    let bundle = Bundle::new(&bed, "memory-ended", "memory", &["/bin/act", "usage", "20971520"]).with_act();
    let said = bundle.run();
    drop(bundle);
    bed.ended("memory-ended");
    let said: Vec<f64> = said.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    let value = |name: &str| bed.metric(&format!("remora_memory_{name}")).expect(name);
    // Beside the child there is its parent, which has less.
    assert_eq!(value("peak_bytes_count"), 2.0);
    let sum = value("peak_bytes_sum");
    assert!(said[0] >= 20_971_520.0 && sum > said[0] && sum < 2.0 * said[0], "{sum} against {said:?}");
    let minor = value("minor_faults_total");
    assert!(minor >= said[1] && minor < said[1] + 1000.0, "{minor} against {said:?}");
    assert!(value("major_faults_total") >= said[2], "{said:?}");
}
