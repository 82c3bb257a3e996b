//! Requests to a loop device of the test's own, against what the kernel counts of that device.

use std::{fs::File, path::Path, process::Command};

use remora_tests::{Bed, Trio, run};
use serde_json::json;

/// A block device with a file behind it.
struct Loop {
    path: String,
    minor: u32,
}

impl Loop {
    fn new(file: &Path) -> Self {
        let _ = Command::new("modprobe").arg("loop").output(); // built in, on some
        File::create(file).and_then(|f| f.set_len(32 << 20)).expect("failed to create a file");
        let path = run(Command::new("losetup").args(["--find", "--show"]).arg(file)).trim().to_owned();
        let minor = path.trim_start_matches("/dev/loop").parse().expect("a number");
        Self { path, minor }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.path]).status();
    }
}

/// The device's line of /proc/diskstats, before and after.
fn diskstats(text: &str) -> [Vec<f64>; 2] {
    let parse = |l: &str| l.split_whitespace().skip(3).map(|n| n.parse().expect("a number")).collect();
    let lines: Vec<Vec<f64>> = text.lines().filter(|l| l.contains(" loop")).map(parse).collect();
    lines.try_into().unwrap_or_else(|_| panic!("not two lines: {text}"))
}

#[test]
fn requests_are_those_of_the_device() {
    let mut bed = Bed::tracing("blockio");
    bed.start();
    let device = Loop::new(&bed.path("disk"));
    // Where /tmp is mounted nodev, what is no container finds no device there, and does nothing.
    let script = format!(
        "mknod /dev/blk b 7 {minor}; grep ' loop{minor} ' /proc/diskstats 2>/dev/null; \
         dd if=/dev/zero of=/dev/blk bs=64k count=16 oflag=direct conv=notrunc 2>/dev/null; \
         dd if=/dev/blk of=/dev/null bs=16k count=32 iflag=direct 2>/dev/null; \
         dd if=/dev/zero of=/dev/blk bs=4k count=64 seek=1024 conv=notrunc,fsync 2>/dev/null; \
         blkdiscard -o 8388608 -l 1048576 /dev/blk; grep ' loop{minor} ' /proc/diskstats 2>/dev/null; true",
        minor = device.minor
    );
    let trio = Trio::on(bed, "blockio", &script, |config| {
        let all = json!([{ "allow": true, "access": "rwm" }]);
        config["linux"]["resources"]["devices"] = all;
        for kind in ["bounding", "effective", "permitted"] {
            let list = config["process"]["capabilities"][kind].as_array_mut().expect("capabilities");
            list.push("CAP_MKNOD".into());
        }
    });
    let [before, after] = diskstats(&trio.printed[0]);
    let device = format!("7:{}", device.minor);
    let value = |name: &str, op: &str| {
        let all = trio.bed.series(name).into_iter();
        let mine =
            all.filter(|s| s.name == name && s.label("op") == Some(op) && s.label("dev") == Some(&device));
        mine.map(|s| s.value).sum::<f64>()
    };
    let sum = |name: &str, ops: &[&str]| ops.iter().map(|op| value(name, op)).sum::<f64>();
    // Where each has its requests, sectors and milliseconds in that line. The kernel counts a flush as a write, and
    // what it sends to the device for one or several of them as flush.
    let expected: [(&[&str], usize, f64); 3] = [
        (&["read"], 0, 512.0 * 1024.0),
        (&["write", "flush"], 4, 1024.0 * 1024.0 + 256.0 * 1024.0),
        (&["discard"], 11, 1024.0 * 1024.0),
    ];
    for (ops, requests, bytes) in expected {
        let delta = |i: usize| after[i] - before[i];
        let truth = format!("{ops:?}: {before:?} {after:?}");
        assert_eq!(sum("remora_blockio_operations_total", ops), delta(requests), "{truth}");
        assert_eq!(sum("remora_blockio_latency_seconds_count", ops), delta(requests), "{truth}");
        assert_eq!(sum("remora_blockio_bytes_total", ops), 512.0 * delta(requests + 2), "{truth}");
        assert_eq!(sum("remora_blockio_bytes_total", ops), bytes, "{truth}");
        assert_eq!(sum("remora_blockio_errors_total", ops), 0.0, "{truth}");
        let (mine, seconds) = (sum("remora_blockio_latency_seconds_sum", ops), delta(requests + 3) / 1e3);
        // The kernel looks at its clock later, after its own work and ours, and says whole milliseconds.
        let range = 0.3 * seconds - 0.01..=seconds + 0.01;
        assert!(mine > 0.0 && range.contains(&mine), "{mine} against {seconds}, {truth}");
    }
    assert_eq!(value("remora_blockio_operations_total", "flush"), 1.0, "{before:?} {after:?}");
}
