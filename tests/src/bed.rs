//! A daemon of the test's own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Events, build_dir, emulated, run, wait_for};

#[derive(Debug)]
pub struct Bed {
    dir: TempDir,
    daemon: Option<Child>,
    /// Lines for the configuration's sections, beside those every bed has.
    extra: Vec<(&'static str, String)>,
}

impl Bed {
    /// A bed whose daemon runs.
    pub fn new() -> Self {
        let mut bed = Self::cold();
        bed.start();
        bed
    }

    /// A bed without a daemon.
    pub fn cold() -> Self {
        let dir = tempfile::Builder::new().prefix("remora-test-").tempdir().expect("failed to make a folder");
        fs::create_dir(dir.path().join("bpf")).expect("failed to make a folder");
        Self { dir, daemon: None, extra: Vec::new() }
    }

    /// A configuration line for a section (`""` for the top).
    pub fn with(mut self, section: &'static str, line: &str) -> Self {
        self.extra.push((section, line.to_owned()));
        self
    }

    /// A name that no other bed has.
    pub fn name(&self) -> String {
        self.dir.path().file_name().expect("a name").to_string_lossy().into_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn hook_socket(&self) -> PathBuf {
        self.path("hook.sock")
    }

    pub fn pins(&self) -> PathBuf {
        self.path("bpf/remora")
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("no daemon").id()
    }

    pub fn write_config(&self) -> PathBuf {
        let dir = self.dir.path().display();
        let mut top = format!(
            "run_dir = \"{dir}\"\nstate_dir = \"{dir}/state\"\nbpffs = \"{dir}/bpf\"\ntracers_dir = \"{dir}/tracers.d\"\n"
        );
        let mut sections = String::new();
        let fixed = [
            ("hook", format!("socket = \"{dir}/hook.sock\"\n")),
            ("api", format!("socket = \"{dir}/api.sock\"\ngroup = \"root\"\n")),
            ("scan", "at_start = false\n".to_owned()),
            ("limits", String::new()),
            // What most tests ask for, and no more: loading takes an emulated machine seconds.
            ("tracers", "preload = [\"exec\", \"tcp\"]\ndetach_after = \"200ms\"\n".to_owned()),
            ("events", String::new()),
            ("history", String::new()),
            ("otlp", String::new()),
            ("metrics", String::new()),
            // Nobody's rules but the test's own, if it has any.
            ("alerts", format!("rules_dir = \"{dir}/rules.d\"\nshipped_rules = false\n")),
            ("alerts.alertmanager", String::new()),
            ("alerts.webhook", String::new()),
            ("alerts.syslog", String::new()),
            ("alerts.file", String::new()),
            ("labels", String::new()),
            ("managers", String::new()),
            // Each test has managers of its own.
            ("managers.podman", "storage = []\n".to_owned()),
            ("managers.docker", format!("socket = \"{dir}/docker.sock\"\ndata_root = \"{dir}/docker\"\n")),
            ("managers.containerd", format!("socket = \"{dir}/containerd.sock\"\n")),
            ("managers.cri", format!("socket = \"{dir}/cri.sock\"\n")),
            // Nobody's but the test's own.
            ("managers.nri", "enabled = false\n".to_owned()),
        ];
        for (name, lines) in fixed {
            let mine = self.extra.iter().filter(|(s, _)| *s == name).map(|(_, l)| format!("{l}\n"));
            let mine: String = mine.collect();
            // A line of the test's own stands for one that every bed has.
            let key = |l: &str| l.split('=').next().unwrap_or_default().trim().to_owned();
            let kept = lines.lines().filter(|l| !mine.lines().any(|m| key(m) == key(l)));
            let kept: String = kept.map(|l| format!("{l}\n")).collect();
            sections += &format!("[{name}]\n{kept}{mine}");
        }
        for (_, line) in self.extra.iter().filter(|(s, _)| s.is_empty()) {
            top += &format!("{line}\n");
        }
        let path = self.path("remora.toml");
        fs::write(&path, top + &sections).expect("failed to write the configuration");
        path
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        self.spawn();
        let daemon = self.daemon.as_mut().expect("just spawned");
        let socket = self.dir.path().join("api.sock");
        let log = self.dir.path().join("daemon.log");
        wait_for("the daemon to come up", || {
            if let Ok(Some(status)) = daemon.try_wait() {
                panic!("the daemon ended: {status}\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            get(&socket, "/healthz").filter(|body| body == "ok\n")
        });
    }

    /// Starts the daemon and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let config = self.write_config();
        let log = File::options().create(true).append(true).open(self.path("daemon.log")).expect("no log");
        let mut command = Command::new(build_dir().join("remora"));
        command.arg("--config").arg(config).arg("daemon").env("REMORA_LOG", "info,remora=debug");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("no log")).stderr(log);
        self.daemon = Some(command.spawn().expect("failed to start the daemon"));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("no daemon");
        daemon.kill().expect("failed to kill the daemon");
        daemon.wait().expect("failed to wait for the daemon");
    }

    /// SIGTERM, and wait for the end.
    pub fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("no daemon");
        signal(daemon.id(), "TERM");
        let status = wait_for("the daemon to stop", || daemon.try_wait().expect("failed to wait"));
        assert!(status.success(), "the daemon ended with {status}\n{}", self.log());
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// A command line of remora against this bed.
    pub fn remora(&self, args: &[&str]) -> Command {
        let mut command = Command::new(build_dir().join("remora"));
        command.arg("--config").arg(self.path("remora.toml")).args(args);
        command
    }

    /// Arguments of the hook for this bed.
    pub fn hook_args(&self) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        // Emulated, a daemon that is there needs longer than a real one may.
        let budget = if emulated() { "5000" } else { "500" };
        vec![
            "--timeout-ms".into(),
            budget.into(),
            "--socket".into(),
            path("hook.sock"),
            "--spool".into(),
            path("state/spool"),
            "--ask".into(),
            path("ask"),
            "--log".into(),
            path("hook.log"),
        ]
    }

    pub fn get(&self, target: &str) -> String {
        get(&self.path("api.sock"), target).unwrap_or_else(|| panic!("no answer to {target}"))
    }

    /// Another request than GET; the answer's body.
    pub fn send(&self, method: &str, target: &str, body: &str) -> String {
        let answer = send(&self.path("api.sock"), method, target, body);
        answer.unwrap_or_else(|| panic!("no answer to {method} {target}"))
    }

    pub fn json(&self, target: &str) -> Value {
        serde_json::from_str(&self.get(target)).expect("not JSON")
    }

    /// The recent past, all of it.
    pub fn events(&self) -> Events {
        Events::parse(&run(&mut self.remora(&["events", "--replay", "--format", "json"])))
    }

    /// The recent past of one container.
    pub fn events_of(&self, name: &str) -> Events {
        Events::parse(&run(&mut self.remora(&[
            "events",
            "--replay",
            "--format",
            "json",
            "--container",
            name,
        ])))
    }

    /// Waits until this container's account is closed; its view.
    pub fn ended(&self, name: &str) -> Value {
        wait_for(&format!("the end of {name}"), || self.container(name).filter(|c| c["state"] == "ended"))
    }

    /// The newest generation of a container.
    pub fn container(&self, name: &str) -> Option<Value> {
        let body = get(&self.path("api.sock"), &format!("/v1/containers/{name}"))?;
        serde_json::from_str(&body).ok().filter(|v: &Value| v.get("ledger").is_some())
    }

    /// A number of the metrics, by the beginning of its line.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics");
        text.lines().find(|l| l.starts_with(series))?.rsplit(' ').next()?.parse().ok()
    }

    /// The series of the metrics whose names begin like this.
    pub fn series(&self, prefix: &str) -> Vec<Series> {
        self.get("/metrics").lines().filter(|l| l.starts_with(prefix)).filter_map(Series::parse).collect()
    }

    /// The value of the one series of this name with these labels, beside others.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |s: &Series| s.name == name && labels.iter().all(|(k, v)| s.label(k) == Some(v));
        self.series(name).into_iter().find(has).map(|s| s.value)
    }

    /// Nothing may be in scope, and nothing attached, a while after the last container ended.
    pub fn assert_empty(&self) {
        wait_for("the scope to be empty", || {
            (self.metric("remora_map_entries{map=\"scope\"}")? == 0.0).then_some(())
        });
        wait_for("all links to be gone", || (self.links().is_empty()).then_some(()));
    }

    /// Pinned links.
    pub fn links(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        walk(&self.pins(), &mut all);
        all.retain(|p| p.parent().is_some_and(|d| d.ends_with("links")));
        all
    }
}

/// A line of the exposition format.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Series {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        // Values in tests have no quotes in them.
        let pair = |l: &str| {
            let (key, value) = l.split_once("=\"")?;
            Some((key.trim_start_matches(',').to_owned(), value.to_owned()))
        };
        let labels = labels.strip_suffix('}')?.split_terminator('"').collect::<Vec<_>>();
        let labels = labels.chunks(2).filter_map(|c| pair(&c.join("\"")));
        Some(Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, out) } else { out.push(path) }
    }
}

pub fn signal(pid: u32, name: &str) {
    run(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()));
}

fn get(socket: &Path, target: &str) -> Option<String> {
    send(socket, "GET", target, "")
}

/// One request, by hand: the test's own idea of HTTP, not remora's. Chunks are put together.
fn send(socket: &Path, method: &str, target: &str, body: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let head = format!("Host: test\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(stream, "{method} {target} HTTP/1.1\r\n{head}\r\n\r\n{body}").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, mut body) = answer.split_once("\r\n\r\n")?;
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return Some(body.to_owned());
    }
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            break;
        }
        whole += rest.get(..size)?;
        body = rest.get(size + 2..)?;
    }
    Some(whole)
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // A stopped process must be let go on before it can end.
            let _ = Command::new("kill").args(["-CONT", &daemon.id().to_string()]).status();
            let _ = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
        }
        let _ = Command::new("umount").arg("-l").arg(self.path("bpf")).stderr(Stdio::null()).status();
    }
}
