//! A busy nginx in a podman container under wrk: with no tracer, the default ones, all of them, and as the unlabelled
//! neighbour of a container that has the default ones. In turn in each round.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use remora_tests::{Bed, Podman, output, run, runc::put_program, wait_for};

use crate::table::{Figure, median};

const ROUNDS: usize = 7;
const SECONDS: u32 = 3;
const PORT: u16 = 18_080;

/// nginx with one page, and nothing else.
fn root(root: &Path) {
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().map(Path::new).find(|p| p.exists());
    put_program(nginx.expect("no nginx: make deps installs it"), root, "usr/sbin/nginx");
    for dir in ["dev", "etc", "proc", "sys", "tmp", "run", "www", "var/log/nginx", "var/lib/nginx"] {
        fs::create_dir_all(root.join(dir)).expect("failed to make a folder");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/false\n").expect("failed to write");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("failed to write");
    fs::write(root.join("www/index.html"), "x".repeat(612)).expect("failed to write");
    let conf = format!(
        "user root; daemon off; worker_processes 1; pid /tmp/pid; error_log /dev/null crit;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; keepalive_requests 1000000; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p;\n\
         fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n\
         server {{ listen 127.0.0.1:{PORT}; root /www; }} }}\n"
    );
    fs::write(root.join("etc/nginx.conf"), conf).expect("failed to write");
}

struct Server {
    child: Child,
    podman: Podman,
    name: String,
}

impl Server {
    fn start(bed: &Bed, root: &Path, trace: &str) -> Self {
        let podman = Podman::bare(bed);
        let name = format!("nginx-{}", if trace.is_empty() { "plain" } else { trace });
        let annotation = format!("io.remora.trace={trace}");
        let mut args = vec!["run", "--rm", "--network", "host", "--name", &name];
        if !trace.is_empty() {
            args.extend(["--annotation", &annotation]);
        }
        let root = root.display().to_string();
        args.extend(["--rootfs", &root, "/usr/sbin/nginx", "-c", "/etc/nginx.conf"]);
        let mut command = podman.command(&args);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("failed to start podman");
        wait_for("nginx to listen", || std::net::TcpStream::connect(("127.0.0.1", PORT)).ok());
        Self { child, podman, name }
    }

    fn stop(mut self) {
        let _ = output(&mut self.podman.command(&["kill", &self.name]));
        self.child.wait().expect("failed to wait");
    }
}

/// Requests a second, and the median and 99th percentile of the latency in ms.
fn load() -> (f64, f64, f64) {
    let mut wrk = Command::new("wrk");
    wrk.args([
        "-t1",
        "-c16",
        &format!("-d{SECONDS}s"),
        "--latency",
        &format!("http://127.0.0.1:{PORT}/index.html"),
    ]);
    let text = run(&mut wrk);
    let field = |label: &str| {
        let line =
            text.lines().find_map(|l| l.trim().strip_prefix(label)).unwrap_or_else(|| panic!("{text}"));
        line.trim().to_owned()
    };
    let ms = |value: String| match value.strip_suffix("us") {
        Some(us) => us.parse::<f64>().expect("a number") / 1e3,
        None => value.trim_end_matches("ms").parse().expect("a number"),
    };
    (field("Requests/sec:").parse().expect("a number"), ms(field("50%")), ms(field("99%")))
}

/// Processor time of a process, in seconds.
fn processor(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("no process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: f64 =
        fields[11].parse::<f64>().expect("a number") + fields[12].parse::<f64>().expect("a number");
    ticks / 100.0
}

pub fn measure() -> Vec<Figure> {
    let mut bed = Bed::tracing("all").with("tracers", "detach_after = \"100ms\"");
    bed.start();
    let dir = tempfile::tempdir().expect("failed to make a folder");
    root(dir.path());
    let kinds = ["", "default", "all", "neighbour"];
    let mut readings: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new(); kinds.len()];
    let mut busy = Vec::new();
    for round in 0..ROUNDS {
        for turn in 0..kinds.len() {
            let which = (turn + round) % kinds.len();
            wait_for("links to go", || bed.links().is_empty().then_some(()));
            let other =
                (kinds[which] == "neighbour").then(|| crate::tracers::waiting(&bed, "default", "other"));
            let server = Server::start(&bed, dir.path(), if other.is_some() { "" } else { kinds[which] });
            let before = processor(bed.pid());
            readings[which].push(load());
            if kinds[which] == "default" {
                busy.push((processor(bed.pid()) - before) / f64::from(SECONDS) * 100.0);
            }
            server.stop();
            other.into_iter().for_each(crate::tracers::end);
        }
    }
    let paired = |which: usize, of: fn(&(f64, f64, f64)) -> f64| -> Vec<f64> {
        readings[which].iter().zip(&readings[0]).map(|(with, base)| of(with) / of(base)).collect()
    };
    let loss = |which| paired(which, |r| r.0).iter().map(|ratio| (1.0 - ratio) * 100.0).collect::<Vec<_>>();
    let more = |which: usize| {
        readings[which].iter().zip(&readings[0]).map(|(with, base)| with.1 - base.1).collect::<Vec<_>>()
    };
    let rate = readings[0].iter().map(|r| r.0).collect::<Vec<_>>();
    println!("nginx under wrk: {:.0} requests/s with no tracer", median(&rate));
    vec![
        Figure::new("nginx: requests, no tracer", "1/s", rate),
        Figure::new("nginx: latency (median), no tracer", "ms", readings[0].iter().map(|r| r.1).collect()),
        Figure::new("nginx: loss of requests, default tracers", "%", loss(1)).budget("<= 1"),
        Figure::new("nginx: loss of requests, all tracers", "%", loss(2)),
        Figure::new("nginx: loss of requests, unlabelled neighbour", "%", loss(3)).budget("<= 0.2"),
        Figure::new("nginx: latency more, default tracers", "ms", more(1)).budget("<= 0.05"),
        Figure::new("nginx: latency more, all tracers", "ms", more(2)),
        Figure::new("nginx: daemon's processor time, default tracers", "%", busy).budget("<= 1"),
    ]
}
