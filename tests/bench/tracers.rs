//! Every tracer under the same work: what it costs a neighbour and the container, how long it takes to start, and how
//! much memory.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use remora_tests::{Bed, run, wait_for};
use serde_json::Value;

use crate::load::nobody;
use crate::table::median;
use crate::{rss, traced};

const ROUNDS: usize = 5;
const LOAD: [&str; 3] = ["load", "mix", "150"];

/// One round of work of every kind: files, processes, connections, datagrams, memory, signals, sleep.
pub fn mix(round: u32) {
    for _ in 0..20 {
        let mut text = Vec::new();
        File::open("/etc/passwd").and_then(|mut f| f.read_to_end(&mut text)).expect("failed to read");
    }
    let path = std::env::temp_dir().join(format!("remora-mix-{}", std::process::id()));
    File::create(&path).and_then(|mut f| f.write_all(&[0; 4096])).expect("failed to write");
    fs::remove_file(&path).expect("failed to remove");
    if round.is_multiple_of(10) {
        drop(Command::new("/bin/true").status());
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("failed to listen");
    let mut client =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("failed to connect");
    let (mut server, _) = listener.accept().expect("failed to accept");
    for _ in 0..10 {
        client.write_all(&[0; 100]).expect("failed to write");
        server.read_exact(&mut [0; 100]).expect("failed to read");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("failed to bind");
    let here = socket.local_addr().expect("an address");
    for _ in 0..10 {
        socket.send_to(&[0; 100], here).expect("failed to send");
        socket.recv(&mut [0; 100]).expect("failed to receive");
    }
    drop(vec![1u8; 1 << 20]);
    std::thread::sleep(Duration::from_micros(50));
}

struct Row {
    name: String,
    start_ms: f64,
    memory_kb: f64,
    /// Of a run of its programs, and wall-clock per cent.
    neighbour: (f64, f64),
    own: (f64, f64),
}

/// A container that waits for its standard input to end.
pub fn waiting(bed: &Bed, trace: &str, name: &str) -> std::process::Child {
    let mut command = bed.remora(&["run", "--trace", trace, "--name", name, "--"]);
    command.arg(std::env::current_exe().expect("our own path")).args(["load", "wait", "1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let child = command.spawn().expect("failed to start");
    wait_for("the container to be in scope", || bed.container(name));
    child
}

pub fn end(mut child: std::process::Child) {
    drop(child.stdin.take());
    child.wait().expect("failed to wait");
}

/// Runs and nanoseconds of a tracer's programs so far.
fn cost(bed: &Bed, tracer: &str) -> (f64, f64) {
    let tracer = bed.json(&format!("/v1/tracers/{tracer}?cost=true"));
    let all = tracer["cost"].as_object().into_iter().flat_map(|c| c.values());
    let number = |c: &Value, key: &str| c[key].as_f64().unwrap_or(0.0);
    all.fold((0.0, 0.0), |sum, c| (sum.0 + number(c, "runs"), sum.1 + number(c, "nanoseconds")))
}

/// What programs took for each of their runs during some work.
fn per_run(bed: &Bed, tracer: &str, work: impl FnOnce()) -> f64 {
    let before = cost(bed, tracer);
    work();
    let after = cost(bed, tracer);
    (after.1 - before.1) / (after.0 - before.0).max(1.0)
}

fn one(name: &str) -> Option<Row> {
    let mut bed = Bed::tracing("exec").with("tracers", "detach_after = \"100ms\"");
    bed.start();
    let child = waiting(&bed, if name == "exec" { "tcp" } else { "exec" }, "starting");
    let (before, start) = (rss(bed.pid()), Instant::now());
    let target = format!("/v1/containers/starting/tracers/{name}");
    let answer = bed.send("PUT", &target, "");
    let start_ms = start.elapsed().as_secs_f64() * 1e3;
    if !answer.contains("\"on\":true") {
        println!("{name}: cannot be had here: {answer}");
        end(child);
        return None;
    }
    std::thread::sleep(Duration::from_millis(300));
    let memory_kb = (rss(bed.pid()) - before) * 1e3;
    let (mut base, mut neighbour, mut own, mut runs) =
        (Vec::new(), Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    end(child);
    for _ in 0..ROUNDS {
        wait_for("links to go", || bed.links().is_empty().then_some(()));
        base.push(nobody(&LOAD));
        let child = waiting(&bed, name, "waiting");
        neighbour.push(nobody(&LOAD));
        own.push(run(&mut traced(&bed, name, &LOAD)).trim().parse().expect("a number"));
        runs.0.push(per_run(&bed, name, || {
            nobody(&LOAD);
        }));
        runs.1.push(per_run(&bed, name, || drop(run(&mut traced(&bed, name, &LOAD)))));
        end(child);
    }
    let loss = |with: &[f64]| (median(with) / median(&base) - 1.0) * 100.0;
    Some(Row {
        name: name.to_owned(),
        start_ms,
        memory_kb,
        neighbour: (median(&runs.0), loss(&neighbour)),
        own: (median(&runs.1), loss(&own)),
    })
}

/// The table of all tracers, also as Markdown where `REMORA_COST` says.
pub fn measure() {
    let bed = Bed::new();
    let all = bed.json("/v1/tracers");
    let names = all.as_array().expect("a list").iter().filter_map(|t| t["name"].as_str());
    let names: Vec<String> = names.map(str::to_owned).collect();
    drop(bed);
    let head = [
        "TRACER",
        "START MS",
        "MEMORY KB",
        "NS A RUN, NEIGHBOUR",
        "NS A RUN, OWN",
        "MORE %, NEIGHBOUR",
        "MORE %, OWN",
    ];
    println!(
        "\n{:12} {:>9} {:>10} {:>20} {:>14} {:>18} {:>12}",
        head[0], head[1], head[2], head[3], head[4], head[5], head[6]
    );
    let mut table = String::from(
        "| tracer | start, ms | memory, KB | ns a run, neighbour | ns a run, container | time more, neighbour | time more, container |\n|---|---|---|---|---|---|---|\n",
    );
    for row in names.iter().filter_map(|name| one(name)) {
        println!(
            "{:12} {:>9.1} {:>10.0} {:>20.0} {:>14.0} {:>18.1} {:>12.1}",
            row.name, row.start_ms, row.memory_kb, row.neighbour.0, row.own.0, row.neighbour.1, row.own.1
        );
        table += &format!(
            "| `{}` | {:.1} | {:.0} | {:.0} | {:.0} | {:+.1} % | {:+.1} % |\n",
            row.name, row.start_ms, row.memory_kb, row.neighbour.0, row.own.0, row.neighbour.1, row.own.1
        );
    }
    if let Some(path) = std::env::var_os("REMORA_COST") {
        fs::write(path, table).expect("failed to write");
    }
}
