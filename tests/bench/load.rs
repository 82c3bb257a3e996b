//! The same system calls by nobody's process, by a neighbour of a traced container, and by a traced one.

use std::{
    fs::File,
    hint::black_box,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Instant,
};

use remora_tests::{Bed, run, wait_for};

use crate::table::{Figure, median};
use crate::{program_stats, traced};

const ROUNDS: usize = 7;

/// Does something `count` times and prints nanoseconds a time.
pub fn generate(kind: &str, count: u32) {
    let start = Instant::now();
    match kind {
        "opens" => (0..count).for_each(|_| drop(black_box(File::open("/etc/passwd")))),
        "getppid" => (0..count).for_each(|_| {
            black_box(std::os::unix::process::parent_id());
        }),
        "execs" => (0..count).for_each(|_| drop(Command::new("/bin/true").status())),
        "connects" => connects(count),
        "mix" => (0..count).for_each(crate::tracers::mix),
        "wait" => drop(std::io::stdin().read(&mut [0])),
        other => panic!("no load {other}"),
    }
    println!("{}", start.elapsed().as_nanos() as f64 / f64::from(count.max(1)));
}

fn connects(count: u32) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("failed to listen");
    let address = listener.local_addr().expect("an address");
    for _ in 0..count {
        let mut client = TcpStream::connect(address).expect("failed to connect");
        let (mut server, _) = listener.accept().expect("failed to accept");
        client.write_all(b"ping").expect("failed to write");
        server.read_exact(&mut [0; 4]).expect("failed to read");
    }
}

pub fn nobody(args: &[&str]) -> f64 {
    let me = std::env::current_exe().expect("our own path");
    run(Command::new(me).args(args)).trim().parse().expect("a number")
}

pub fn measure() -> Vec<Figure> {
    let mut figures = Vec::new();
    let loads = [
        ("file", "getppid", 500_000),
        ("file", "opens", 50_000),
        ("exec", "execs", 300),
        ("tcp", "connects", 2_000),
    ];
    for (tracer, kind, count) in loads {
        figures.extend(one(tracer, kind, &count.to_string()));
    }
    figures.push(sustained());
    figures
}

/// Costs of one tracer for one kind of work, in turn in each round.
fn one(tracer: &str, kind: &str, count: &str) -> Vec<Figure> {
    let args = ["load", kind, count];
    let cold = Bed::cold().with("tracers", "detach_after = \"100ms\"");
    let mut bed = cold;
    bed.start();
    let (mut base, mut neighbour, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let mut stats = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        base.push(nobody(&args));
        let mut waiting = traced(&bed, tracer, &["load", "wait", "1"]);
        let mut waiting =
            waiting.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("failed to start");
        wait_for("links", || (!bed.links().is_empty()).then_some(()));
        neighbour.push(nobody(&args));
        stats.0.push(per_run(|| {
            nobody(&args);
        }));
        drop(waiting.stdin.take());
        waiting.wait().expect("failed to wait");
        own.push(run(&mut traced(&bed, tracer, &args)).trim().parse().expect("a number"));
        stats.1.push(per_run(|| drop(run(&mut traced(&bed, tracer, &args)))));
        wait_for("links to go", || bed.links().is_empty().then_some(()));
    }
    let more = |with: &[f64]| with.iter().zip(&base).map(|(w, b)| w - b).collect::<Vec<_>>();
    let loss = |with: &[f64]| (median(with) / median(&base) - 1.0) * 100.0;
    let (few, much) = (loss(&neighbour), loss(&own));
    vec![
        Figure::new(format!("{kind}: nobody traced"), "ns", base.clone()),
        Figure::new(
            format!("{kind}: more, as a neighbour of a `{tracer}` container"),
            "ns",
            more(&neighbour),
        ),
        Figure::new(format!("{kind}: more, in a `{tracer}` container"), "ns", more(&own)),
        Figure::one(format!("{kind}: loss, neighbour"), "%", few),
        Figure::one(format!("{kind}: loss, own"), "%", much),
        Figure::new(format!("{kind}: BPF a run, neighbour (stats on)"), "ns", stats.0),
        Figure::new(format!("{kind}: BPF a run, own (stats on)"), "ns", stats.1),
    ]
}

/// Mean time of a run of BPF programs while `work` runs, as the kernel measures it; measuring itself costs.
fn per_run(work: impl FnOnce()) -> f64 {
    let sum = || program_stats().iter().fold((0.0, 0.0), |(c, t), (_, count, time)| (c + count, t + time));
    run(Command::new("sysctl").args(["-qw", "kernel.bpf_stats_enabled=1"]));
    let before = sum();
    work();
    let after = sum();
    run(Command::new("sysctl").args(["-qw", "kernel.bpf_stats_enabled=0"]));
    (after.1 - before.1) / (after.0 - before.0).max(1.0)
}

/// Events a second that one container can make without a loss.
fn sustained() -> Figure {
    let bed = Bed::new();
    let mut rates = Vec::new();
    for round in 0..3 {
        let name = format!("flood-{round}");
        let mut command = bed.remora(&["run", "--trace", "file", "--name", &name, "--"]);
        command.arg(std::env::current_exe().expect("our own path")).args(["load", "opens", "300000"]);
        let ns: f64 = run(&mut command).trim().parse().expect("a number");
        let counts = &bed.ended(&name)["ledger"]["tracers"]["file"];
        let number = |key: &str| counts[key].as_f64().unwrap_or(0.0);
        rates.push(1e9 / ns * number("delivered") / number("counted"));
    }
    Figure::new("events delivered of a flood", "1/s", rates)
}
