//! What the hook adds to the start of a container.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::Instant,
};

use remora_tests::{Bed, Bundle, build_dir, count};
use serde_json::json;

use crate::table::Figure;

pub fn measure() -> Vec<Figure> {
    let bed = Bed::new();
    let args = ["/bin/true"];
    let without = Bundle::with(&bed, "bench-without", &args, |config| config["hooks"] = json!({}));
    let ignored = Bundle::new(&bed, "bench-ignored", "", &args);
    let opted = Bundle::new(&bed, "bench-opted", "exec", &args);
    let (mut base, mut unlabelled, mut traced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count(100).max(10) {
        base.push(time(&without));
        unlabelled.push(time(&ignored));
        traced.push(time(&opted));
    }
    let more = |with: &[f64]| with.iter().zip(&base).map(|(w, b)| w - b).collect::<Vec<_>>();
    let mut figures = vec![
        Figure::new("runc run without hooks", "ms", base.clone()),
        Figure::new("runc run: more, hook installed, not opted in", "ms", more(&unlabelled)),
        Figure::new("runc run: more, opted in", "ms", more(&traced)).budget("<= 2"),
    ];
    figures.extend(alone(&bed));
    figures.push(first_exec(&bed));
    figures
}

fn time(bundle: &Bundle) -> f64 {
    let start = Instant::now();
    bundle.run();
    start.elapsed().as_secs_f64() * 1e3
}

/// The hook's process, from spawn to exit, with the state of a live process that opted in or not.
fn alone(bed: &Bed) -> Vec<Figure> {
    let spawn = |annotations: serde_json::Value| {
        let state = json!({ "ociVersion": "1.0.2", "id": "hook-alone", "status": "creating",
            "pid": std::process::id(), "bundle": "/nonexistent", "annotations": annotations });
        let mut command = Command::new(build_dir().join("remora-hook"));
        command.args(bed.hook_args()).arg("createRuntime").stdin(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().expect("failed to start the hook");
        let _ = child.stdin.take().expect("stdin").write_all(state.to_string().as_bytes());
        child.wait().expect("failed to wait");
        start.elapsed().as_secs_f64() * 1e3
    };
    let many =
        |annotations: &serde_json::Value| (0..200).map(|_| spawn(annotations.clone())).collect::<Vec<_>>();
    // Our own process is in the daemon's cgroup, which is refused after the same round trip.
    let traced = many(&json!({ "io.remora.trace": "exec" }));
    vec![
        Figure::new("hook alone, opted in", "ms", traced).budget("<= 0.7"),
        Figure::new("hook alone, not opted in", "ms", many(&json!({}))),
    ]
}

/// Of how many starts the first exec was the first event.
fn first_exec(bed: &Bed) -> Figure {
    let starts = count(1000);
    let names: Vec<String> = (0..starts).map(|n| format!("first-{n}")).collect();
    for name in &names {
        let bundle = Bundle::new(bed, name, "exec", &["/bin/true"]);
        bundle.run();
    }
    bed.ended(names.last().expect("a start"));
    let events = bed.events();
    let first = |name: &&String| {
        let first = events.0.iter().find(|e| e["container"]["name"] == ***name);
        first.is_some_and(|e| e["process"]["executable"]["path"] == "/bin/true")
    };
    let seen = names.iter().filter(first).count();
    Figure::one("first exec seen, of 1,000 starts", "starts", seen as f64 * 1000.0 / f64::from(starts))
        .budget("1000")
}
