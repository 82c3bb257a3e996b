//! One container does as much as it can: the daemon stays small, counts what it loses, and nobody else suffers.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};

use remora_tests::{Bed, Bundle, Events, emulated, wait_for};

/// Most memory that the daemon may ever have held, in KiB.
const RSS_MAX: u64 = 64 << 10;

/// How many numbered programs the quiet container executes at least.
fn numbers() -> usize {
    if emulated() { 40 } else { 3000 }
}

/// Four processes that open a file for as long as they are let, and say how often they did, which is an open, too.
/// While `/tmp/long` is there they open the one whose name makes an event of a kilobyte.
fn flood() -> String {
    let opens = ": <$f; ".repeat(8);
    format!(
        "for p in 1 2 3 4; do (i=0; while [ ! -e /tmp/stop ]; do f=/etc/passwd; [ ! -e /tmp/long ] || f=/tmp/{long}; \
         {opens} i=$((i+9)); echo $i >/tmp/done-$p; done) & done; wait",
        long = long()
    )
}

fn long() -> String {
    ["d"; 4].map(|d| d.repeat(240)).join("/") + "/file"
}

/// Executes numbered programs, and tells how far it is without executing anything.
const QUIET: [&str; 3] =
    ["/bin/sh", "-c", "i=0; while [ ! -e /tmp/stop ]; do /bin/true $i; i=$((i+1)); echo $i >/tmp/at; done"];

/// The number in a file that a shell writes again and again, and that is empty between its opening and its writing.
fn number(path: &Path) -> usize {
    wait_for("a number", || match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().ok(),
        Err(_) => Some(0),
    })
}

/// Waits until it is further by this much, for as long as it gets on at all: a busy machine may be slow.
fn get_on(who: &str, more: usize, at: impl Fn() -> usize) {
    let mut last = at();
    let goal = last + more;
    while last < goal {
        last = wait_for(&format!("{who} to get on"), || Some(at()).filter(|now| *now > last));
    }
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("no daemon");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("no VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("no number")
}

struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(bed: &Bed, container: &str) -> (Follower, PathBuf) {
    let path = bed.path("quiet.ndjson");
    let mut command =
        bed.remora(&["events", "--follow", "--replay", "--format", "json", "--container", container]);
    command.stdout(File::create(&path).expect("failed to create"));
    (Follower(command.spawn().expect("failed to start the client")), path)
}

fn read(path: &Path) -> Events {
    Events::parse(&fs::read_to_string(path).expect("failed to read"))
}

fn stop(bundle: &Bundle, mut child: Child) {
    fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    assert!(child.wait().expect("failed to wait").success());
}

fn counts(view: &serde_json::Value, tracer: &str) -> [u64; 5] {
    let ledger = &view["ledger"]["tracers"][tracer];
    ["counted", "delivered", "lost_full", "lost_share", "lost_other"]
        .map(|key| ledger[key].as_u64().unwrap_or_else(|| panic!("no {key} in {view}")))
}

#[test]
fn one_floods_and_another_is_heard() {
    // Room for a client that a busy machine keeps from reading for a while.
    let mut bed = Bed::tracing("exec,file")
        .with("limits", "history_bytes = \"16MiB\"")
        .with("tracers", "detach_after = \"100ms\"");
    bed.start();
    let quiet = Bundle::new(&bed, "flood-quiet", "exec", &QUIET);
    let (_follower, seen) = follow(&bed, "flood-quiet");
    let quiet_child = quiet.start();
    wait_for("the quiet one to be followed", || fs::metadata(&seen).ok().filter(|m| m.len() > 0));
    let loud = Bundle::new(&bed, "flood-loud", "file", &["/bin/sh", "-c", &flood()]);
    let tmp = loud.rootfs().join("tmp");
    let file = tmp.join(long());
    fs::create_dir_all(file.parent().expect("no directory")).expect("failed to create");
    fs::write(file, "").expect("failed to write");
    let start = Instant::now();
    let loud_child = loud.start();
    let at = quiet.rootfs().join("tmp/at");
    let progress = |more: usize| get_on("the quiet one", more, || number(&at));
    let opened = || (1..=4).map(|p| number(&loud.rootfs().join(format!("tmp/done-{p}")))).sum::<usize>();
    let opens = |more: usize| get_on("the loud one", more, opened);
    progress(numbers());
    opens(1000);
    // While nobody reads, the flood fills its share and no more.
    bed.signal("STOP");
    progress(numbers() / 10);
    // Three times what half of the ring holds.
    fs::write(tmp.join("long"), "").expect("failed to write");
    opens(60_000);
    fs::remove_file(tmp.join("long")).expect("failed to remove");
    bed.signal("CONT");
    progress(numbers() / 10);
    stop(&loud, loud_child);
    let took = start.elapsed();
    stop(&quiet, quiet_child);
    let executed = number(&at);
    let done = opened();
    drop((loud, quiet));

    let ended = bed.ended("flood-loud");
    let [counted, delivered, full, share, other] = counts(&ended, "file");
    let peak = peak_kib(bed.pid());
    println!(
        "{done} opens in {took:.1?}: counted {counted}, {:.0}/s, delivered {delivered}, lost {full} ring, \
         {share} share, {other} map; daemon's peak {peak} KiB; quiet one {executed}",
        counted as f64 / took.as_secs_f64()
    );
    assert_eq!(counted, delivered + full + share + other, "{ended}");
    assert!(counted >= done as u64, "{done} were done: {ended}");
    assert!(share > 0, "a stopped reader loses nothing? {ended}");
    assert!(peak < RSS_MAX, "the daemon held {peak} KiB");

    let ended = bed.ended("flood-quiet");
    let [counted, delivered, lost @ ..] = counts(&ended, "exec");
    assert_eq!((counted, lost), (delivered, [0; 3]), "{ended}");
    wait_for("the client to have it all", || (read(&seen).len() as u64 >= counted).then_some(()));
    let events = read(&seen);
    assert!(events.0.iter().all(|e| e.get("gap").is_none()), "the quiet one's client was told of a gap");
    let programs = events.named("exec").only(|e| e["process"]["executable"]["path"] == "/bin/true");
    let numbers: Vec<String> =
        programs.0.iter().map(|e| e["process"]["command_args"][1].to_string()).collect();
    let wanted: Vec<String> = (0..executed).map(|n| format!("\"{n}\"")).collect();
    assert!(numbers == wanted, "{} of {} numbers seen", numbers.len(), wanted.len());
    let text = bed.get("/metrics");
    let told = text.lines().find(|l| {
        l.starts_with("remora_events_lost_total{")
            && l.contains("flood-loud")
            && l.contains("reason=\"share\"")
    });
    let told = told.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
    assert_eq!(told, Some(share as f64), "metric and ledger differ");
    bed.assert_empty();
}
