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
    let script = format!(
        "mknod /tmp/blk b 7 {minor}; grep ' loop{minor} ' /proc/diskstats 2>/dev/null; \
         dd if=/dev/zero of=/tmp/blk bs=64k count=16 oflag=direct conv=notrunc 2>/dev/null; \
         dd if=/tmp/blk of=/dev/null bs=16k count=32 iflag=direct 2>/dev/null; \
         dd if=/dev/zero of=/tmp/blk bs=4k count=64 seek=1024 conv=notrunc,fsync 2>/dev/null; \
         blkdiscard -o 8388608 -l 1048576 /tmp/blk; grep ' loop{minor} ' /proc/diskstats 2>/dev/null; true",
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
    for s in trio.bed.series("remora_blockio") {
        if !s.name.contains("bucket") {
            eprintln!("DBG {s:?}");
        }
    }
    // Where each has its requests, sectors and milliseconds in that line.
    for (op, requests, bytes) in
        [("read", 0, 512.0 * 1024.0), ("write", 4, 1024.0 * 1024.0 + 262_144.0), ("discard", 11, 1_048_576.0)]
    {
        let delta = |i: usize| after[i] - before[i];
        assert_eq!(
            value("remora_blockio_operations_total", op),
            delta(requests),
            "{op}: {before:?} {after:?}"
        );
        assert_eq!(
            value("remora_blockio_bytes_total", op),
            512.0 * delta(requests + 2),
            "{op}: {before:?} {after:?}"
        );
        assert_eq!(value("remora_blockio_bytes_total", op), bytes, "{op}");
        assert_eq!(value("remora_blockio_latency_seconds_count", op), delta(requests), "{op}");
        let (mine, seconds) = (value("remora_blockio_latency_seconds_sum", op), delta(requests + 3) / 1e3);
        // The kernel looks at its clock once more, and says whole milliseconds.
        assert!((mine - seconds).abs() <= 0.005 + 0.3 * seconds, "{op}: {mine} against {seconds}");
        assert_eq!(value("remora_blockio_errors_total", op), 0.0, "{op}");
    }
    // The kernel counts what it sends to the device, where one may stand for several.
    let flushes = value("remora_blockio_operations_total", "flush");
    assert!(flushes >= 1.0 && flushes >= after[15] - before[15], "{flushes}: {before:?} {after:?}");
}
