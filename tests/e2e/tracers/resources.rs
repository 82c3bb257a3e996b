//! `resources`: against the cgroup's own files, and what the workload is known to have used.

use std::{fs, path::PathBuf};

use remora_tests::{Bed, Bundle, Trio, bed::Series, wait_for};

/// The folder of a container's cgroup that has this file: of the v2 hierarchy, or of version 1's controller.
fn folder(bed: &Bed, id: &str, controller: &str, file: &str) -> PathBuf {
    let container = bed.container(id).expect("a container");
    let unified = PathBuf::from(container["cgroup_path"].as_str().expect("a path"));
    if unified.join(file).exists() {
        return unified;
    }
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", container["pid"])).expect("no process");
    let has = |l: &&str| l.split(':').nth(1).is_some_and(|c| c.split(',').any(|c| c == controller));
    let line = membership.lines().find(has).expect("no such controller");
    let (hierarchy, path) = (line.split(':').nth(1).expect("names"), line.split(':').nth(2).expect("a path"));
    PathBuf::from(format!("/sys/fs/cgroup/{hierarchy}{path}"))
}

fn number(path: PathBuf) -> f64 {
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().parse().unwrap_or_else(|_| panic!("{}: {text:?}", path.display()))
}

fn line(path: PathBuf, key: &str) -> f64 {
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|v| v.trim().parse().ok()).unwrap_or_else(|| panic!("no {key} in {text:?}"))
}

/// One that sleeps, with 20 MB of memory in a tmpfs, after some work.
fn worked(bed: &Bed) -> (Bundle, std::process::Child) {
    let script = "dd if=/dev/zero of=/dev/held bs=1M count=20 2>/dev/null; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; \
        touch /tmp/ready; (sleep 1000 & sleep 1000 & wait)";
    let bundle = Bundle::with(bed, "worked", &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "resources".into();
        config["linux"]["resources"] = serde_json::json!({
            "memory": { "limit": 64 << 20 },
            "pids": { "limit": 100 },
            "cpu": { "quota": 90_000, "period": 100_000 }
        });
    });
    let child = bundle.start();
    wait_for("the work", || bundle.rootfs().join("tmp/ready").exists().then_some(()));
    (bundle, child)
}

#[test]
fn as_the_cgroup_says() {
    let mut bed = Bed::tracing("resources");
    bed.start();
    let (bundle, mut child) = worked(&bed);
    let value = |name: &str| bed.value(&format!("remora_resources_{name}"), &[("container", "worked")]);
    // It sleeps: what was used stands still.
    let folder = |controller: &str, file: &str| folder(&bed, "worked", controller, file);
    let usage = wait_for("a standstill", || {
        let read = || line(folder("cpu", "cpu.stat").join("cpu.stat"), "usage_usec") / 1e6;
        let before = read();
        let shown = value("cpu_usage_seconds_total")?;
        (before == read()).then_some((shown, before))
    });
    assert!((usage.0 - usage.1).abs() < 0.001, "{usage:?}");
    assert!(usage.1 > 0.05, "the loop took no time: {usage:?}");
    let (user, system) = (value("cpu_user_seconds_total"), value("cpu_system_seconds_total"));
    let sum = user.expect("user") + system.expect("system");
    assert!((sum - usage.0).abs() < 0.01, "{user:?} {system:?} {usage:?}");

    let unified = folder("memory", "memory.current").join("memory.current").exists();
    let file = if unified { "memory.current" } else { "memory.usage_in_bytes" };
    let (shown, real) = wait_for("the memory to stand still", || {
        let read = || number(folder("memory", file).join(file));
        let before = read();
        let shown = value("memory_usage_bytes")?;
        (before == read()).then_some((shown, before))
    });
    assert_eq!(shown, real);
    assert!(shown > 20e6, "the 20 MB are missing: {shown}");
    assert_eq!(value("memory_limit_bytes"), Some(f64::from(64 << 20)));
    assert!(value("memory_file_bytes") >= Some(20e6), "{:?}", value("memory_file_bytes"));
    assert!(value("memory_page_faults_total") > Some(0.0));
    assert_eq!(value("memory_oom_kills_total"), Some(0.0));

    let unified =
        bed.container("worked").expect("it runs")["cgroup_path"].as_str().expect("a path").to_owned();
    let processes = fs::read_to_string(PathBuf::from(unified).join("cgroup.procs")).expect("no cgroup");
    assert_eq!(value("tasks"), Some(processes.lines().count() as f64), "{processes}");
    assert!(value("tasks") >= Some(3.0), "{processes}");
    assert_eq!(value("tasks_limit"), Some(100.0));
    assert_eq!((value("cpu_quota_seconds"), value("cpu_period_seconds")), (Some(0.09), Some(0.1)));
    assert!(value("cpu_periods_total") > Some(0.0));
    // Pressure where the kernel keeps it.
    let pressure = folder("cpu", "cpu.pressure").join("cpu.pressure").exists();
    assert_eq!(value("cpu_pressure_some_seconds_total").is_some(), pressure);
    bundle.delete();
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("worked");
    // The last values are shown for a while.
    assert!(value("cpu_usage_seconds_total") >= Some(usage.0));
    bed.assert_empty();
}

#[test]
fn nobody_else() {
    let trio = Trio::run("resources", "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done");
    // Of this one there need not be a value: nobody asked while it ran, and with its end its cgroup goes at once.
    let devices = trio.bed.series("remora_resources_io_");
    let has_device = |s: &Series| s.name.contains("pressure") || s.label("device").is_some();
    assert!(devices.iter().all(has_device), "{devices:?}");
    trio.bed.assert_empty();
}
