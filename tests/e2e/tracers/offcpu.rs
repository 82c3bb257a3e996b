//! Time off the processor, against sleeps of known length and what the kernel counts.

use std::process::Stdio;

use remora_tests::{Bed, Bundle, Trio, events::text, wait_for};
use serde_json::Value;

/// Sleeps, is stopped, and shares a processor; says how often it left by itself while a part of that lasted.
const WORK: &str = "switches() { while read key value; do case $key in voluntary*) n=$value;; esac; done </proc/self/status; }; \
    switches; a=$n; sleep 0.3; sleep 0.3; sleep 0.3; switches; echo $((n-a)); \
    sleep 0.1 & kill -STOP $!; sleep 0.4; kill -CONT $!; wait; \
    burn() { i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; }; \
    taskset -p 1 $$ >/dev/null; (burn) & (burn) & wait";

/// Sum in seconds and count of the times for a reason.
fn times(bed: &Bed, reason: &str) -> (f64, f64) {
    let of = |name: &str| {
        let all = bed.series(name).into_iter();
        let mine = all.filter(|s| s.name == name && s.label("reason") == Some(reason));
        mine.map(|s| s.value).sum::<f64>()
    };
    (of("remora_offcpu_time_seconds_sum"), of("remora_offcpu_time_seconds_count"))
}

#[test]
fn sleeps_stops_and_preemptions() {
    let trio = Trio::run("offcpu", WORK);
    let bed = &trio.bed;
    let voluntary: f64 = trio.printed[0].trim().parse().expect("a number");
    let (asleep, sleeps) = times(bed, "sleep");
    // Each of the sleeps, and the shell that waits for it.
    assert!(asleep >= 2.0 * 0.9, "{asleep}");
    let others = times(bed, "uninterruptible").1 + times(bed, "io").1;
    assert!(sleeps + others >= voluntary && voluntary >= 3.0, "{sleeps} {others} against {voluntary}");
    let (stopped, stops) = times(bed, "stopped");
    assert!(stopped >= 0.3 && stops >= 1.0, "{stopped} {stops}");
    let (preempted, preemptions) = times(bed, "preempted");
    assert!(preempted > 0.0 && preemptions >= 1.0, "{preempted} {preemptions}");
    assert!(
        bed.series("remora_offcpu_time_seconds_count").iter().all(|s| s.label("container") == Some("this"))
    );
}

#[test]
fn stacks_are_kept_on_demand() {
    let mut bed = Bed::tracing("offcpu");
    bed.start();
    let script = "while :; do sleep 0.05; done";
    let start = |name: &str, params: &[(&str, &str)]| {
        let bundle = Bundle::with(&bed, name, &["/bin/sh", "-c", script], |config| {
            config["annotations"]["io.remora.trace"] = "offcpu".into();
            for (param, value) in params {
                config["annotations"][format!("io.remora.param.offcpu.{param}")] = (*value).into();
            }
        });
        let mut child = bundle.run_command();
        let child = child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        (bundle, child.expect("failed to start"))
    };
    let rows = |name: &str| {
        let answer = bed.json(&format!("/v1/containers/{name}/tables/offcpu_stacks"));
        answer["rows"].as_array().cloned().unwrap_or_default()
    };
    let (without, mut first) = start("offcpu-without", &[]);
    let (long, mut second) = start("offcpu-long", &[("stacks", "1"), ("min_us", "60000000")]);
    let (with, mut third) = start("offcpu-with", &[("stacks", "1"), ("min_us", "20000")]);
    wait_for("all to sleep", || {
        let all = bed.series("remora_offcpu_time_seconds_count");
        let slept = |name: &str| {
            let mine = all.iter().filter(|s| s.label("container") == Some(name));
            mine.filter(|s| s.label("reason") == Some("sleep")).any(|s| s.value > 20.0)
        };
        ["offcpu-without", "offcpu-long", "offcpu-with"].iter().all(|name| slept(name)).then_some(())
    });
    let row = wait_for("a sleep of sleep", || {
        let sleeps = |r: &Value| {
            text(r, "offcpu_stacks.comm") == "sleep" && text(r, "offcpu_stacks.reason") == "sleep"
        };
        rows("offcpu-with").into_iter().find(sleeps)
    });
    assert!(text(&row, "offcpu_stacks.kernel_stack").contains("nanosleep"), "{row}");
    assert!(!row.to_string().contains("bpf_prog"), "{row}");
    let number =
        |path: &str| text(&row, path).parse::<f64>().unwrap_or_else(|_| panic!("no {path} in {row}"));
    let (time, count) = (number("offcpu_stacks.time"), number("offcpu_stacks.count"));
    assert!(count >= 1.0 && time >= 0.04 * count, "{row}");
    assert!(rows("offcpu-without").is_empty() && rows("offcpu-long").is_empty());
    for (bundle, child) in [(without, &mut first), (long, &mut second), (with, &mut third)] {
        bundle.delete();
        child.wait().expect("failed to wait");
    }
}
