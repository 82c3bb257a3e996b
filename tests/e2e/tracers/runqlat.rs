//! Waits for a processor, against what the kernel itself counts of each task.

use remora_tests::{Bed, Bundle, Trio, wait_for};
use serde_json::json;

/// Two processes on one processor, each of which says what /proc has of it as its last act.
const CONTEND: &str = "burn() { i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; \
    while read key value; do case $key in nonvoluntary*) n=$value;; esac; done </proc/self/status; \
    read ran waited times </proc/self/schedstat; echo $waited $times $n >&3; }; \
    exec 3>&1; taskset -p 1 $$ >/dev/null; (burn) & (burn) & wait";

/// Sum in seconds and count of the waits after a cause.
fn waits(bed: &Bed, cause: &str) -> (f64, f64) {
    let of = |name: &str| {
        let all = bed.series(name).into_iter();
        let mine = all.filter(|s| s.name == name && s.label("cause") == Some(cause));
        mine.map(|s| s.value).sum::<f64>()
    };
    (of("remora_runqlat_wait_seconds_sum"), of("remora_runqlat_wait_seconds_count"))
}

fn all_waits(bed: &Bed) -> (f64, f64) {
    let all = ["woken", "preempted", "throttled"].map(|cause| waits(bed, cause));
    all.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Seconds waited, times on a processor and times preempted, of the processes that said so.
fn said(text: &str) -> (f64, f64, f64) {
    let mut sum = (0.0, 0.0, 0.0);
    for line in text.lines() {
        let fields: Vec<f64> = line.split(' ').map(|f| f.parse().expect("a number")).collect();
        sum = (sum.0 + fields[0] / 1e9, sum.1 + fields[1], sum.2 + fields[2]);
    }
    assert_eq!(text.lines().count(), 2, "{text}");
    sum
}

#[test]
fn only_this_containers() {
    let trio = Trio::run("runqlat", CONTEND);
    let (waited, times, preempted) = said(&trio.printed[0]);
    let (sum, count) = all_waits(&trio.bed);
    assert!(sum >= waited && count >= times, "{sum} {count} against {waited} {times}");
    let (_, out) = waits(&trio.bed, "preempted");
    assert!(out >= preempted, "{out} against {preempted}");
}

/// All tasks of the container but its init are seen from their first moment to their last.
#[test]
fn waits_are_those_of_the_kernel() {
    let mut bed = Bed::tracing("runqlat");
    bed.start();
    let text = Bundle::new(&bed, "runqlat-waits", "runqlat", &["/bin/sh", "-c", CONTEND]).run();
    bed.ended("runqlat-waits");
    let (waited, times, preempted) = said(&text);
    let (sum, count) = all_waits(&bed);
    // Beside the two there are init, which has to wait for them, and taskset; all have an end after what they said.
    assert!(sum >= waited && sum <= 1.5 * waited + 0.5, "{sum} against {waited}");
    assert!(count >= times && count <= 1.2 * times + 60.0, "{count} against {times}");
    let (_, out) = waits(&bed, "preempted");
    assert!(out >= preempted && out <= 1.2 * preempted + 30.0, "{out} against {preempted}");
    let losses: f64 = bed.series("remora_events_lost_total").iter().map(|s| s.value).sum();
    assert_eq!(losses, 0.0);
}

/// A tenth of a processor for something that would have all of one.
#[test]
fn throttled_by_the_quota() {
    let mut bed = Bed::tracing("runqlat");
    bed.start();
    let script = "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); done; \
        cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu,cpuacct/cpu.stat 2>/dev/null | \
        grep -E '^(nr_throttled|throttled_)' | head -n 2";
    let bundle = Bundle::with(&bed, "runqlat-quota", &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "runqlat".into();
        config["linux"]["resources"]["cpu"] = json!({ "quota": 10_000, "period": 100_000 });
    });
    let child = bundle.run_command().stdout(std::process::Stdio::piped()).spawn().expect("failed to start");
    wait_for("waits for the quota", || (waits(&bed, "throttled").1 >= 5.0).then_some(()));
    std::fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    let output = child.wait_with_output().expect("failed to wait");
    let text = String::from_utf8_lossy(&output.stdout);
    drop(bundle);
    bed.ended("runqlat-quota");
    let (sum, count) = waits(&bed, "throttled");
    let number = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|n| n.trim().parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name} in {text:?}"))
    };
    // The kernel counts periods, in each of which one task or more was stopped, on one processor or more.
    assert!(count >= 0.5 * number("nr_throttled"), "{count} against {text}");
    let each = sum / count;
    assert!((0.01..1.0).contains(&each), "{each} s a time");
}
