//! What remora costs, side by side in one run. Machines are noisy: medians, their spread, and ratios.

mod load;
mod nginx;
mod scrape;
mod starts;
mod table;
mod tracers;

use std::{fs, process::Command, time::Duration};

use remora_tests::{Bed, build_dir, run};
use serde_json::Value;
use table::{Figure, print};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [word, kind, count] = args.as_slice()
        && word == "load"
    {
        return load::generate(kind, count.parse().expect("a count"));
    }
    // All of it, or what is named.
    let wanted = |part: &str| args.is_empty() || args.iter().any(|a| a == part);
    if wanted("tracers") {
        tracers::measure();
    }
    if wanted("nginx") {
        print(&nginx::measure());
    }
    if wanted("scrape") {
        print(&scrape::measure());
    }
    if !wanted("basics") {
        return;
    }
    let mut figures = sizes();
    figures.extend(memory());
    figures.extend(load::measure());
    figures.extend(starts::measure());
    print(&figures);
}

/// The hook's and the daemon's binaries.
fn sizes() -> Vec<Figure> {
    let size = |name: &str| fs::metadata(build_dir().join(name)).map_or(0, |m| m.len()) as f64 / 1e6;
    vec![
        Figure::one("size of remora, all tracers embedded", "MB", size("remora")).budget("<= 10"),
        Figure::one("size of remora-hook", "MB", size("remora-hook")).budget("<= 1.2"),
        Figure::one("size of remora-runtime", "MB", size("remora-runtime")),
    ]
}

/// Resident memory of the daemon.
fn memory() -> Vec<Figure> {
    let bed = Bed::cold().with("tracers", "preload = []");
    let mut bed = bed;
    bed.start();
    let bare = rss(bed.pid());
    drop(bed);
    let bed = Bed::cold().with("tracers", "preload = [\"default\", \"file\"]");
    let mut bed = bed;
    bed.start();
    let loaded = rss(bed.pid());
    let job = traced(&bed, "default,file", &["load", "opens", "20000"]);
    run(&mut { job });
    std::thread::sleep(Duration::from_millis(1500));
    let busy = rss(bed.pid());
    vec![
        Figure::one("daemon's memory, no tracer loaded", "MB", bare),
        Figure::one("daemon's memory, default tracers and file loaded", "MB", loaded).budget("<= 16"),
        Figure::one("the same after 20,000 events", "MB", busy).budget("<= 16"),
    ]
}

fn rss(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

/// This program again, as a traced container.
fn traced(bed: &Bed, trace: &str, args: &[&str]) -> Command {
    let mut command = bed.remora(&["run", "--trace", trace, "--"]);
    command.arg(std::env::current_exe().expect("our own path")).args(args);
    command
}

/// Run count and time of every loaded program, by name, as the kernel counts them.
fn program_stats() -> Vec<(String, f64, f64)> {
    let text = run(Command::new("bpftool").args(["--json", "prog", "show"]));
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let stat = |p: &Value| {
        let number = |key: &str| p[key].as_f64().unwrap_or(0.0);
        Some((p["name"].as_str()?.to_owned(), number("run_cnt"), number("run_time_ns")))
    };
    all.as_array().into_iter().flatten().filter_map(stat).collect()
}
