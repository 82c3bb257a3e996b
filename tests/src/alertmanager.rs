//! A real Alertmanager by the configuration of examples/alertmanager, which notifies the test.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{Bed, Sink, bed::signal, output, source, wait_for};

#[derive(Debug)]
pub struct Alertmanager {
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Who is notified.
    notified: Sink,
}

impl Alertmanager {
    pub fn new(bed: &Bed) -> Self {
        let (dir, notified) = (bed.path("alertmanager"), Sink::new());
        fs::create_dir(&dir).expect("failed to make a folder");
        let example = source("examples/alertmanager/alertmanager.yml");
        let config = fs::read_to_string(example).expect("no example");
        let config = config.replace("127.0.0.1:5001", &notified.address());
        let config = config.replace("group_wait: 10s", "group_wait: 1s");
        let config = config.replace("group_interval: 2m", "group_interval: 1s");
        fs::write(dir.join("alertmanager.yml"), config).expect("failed to write");
        let port =
            TcpListener::bind("127.0.0.1:0").expect("no port").local_addr().expect("an address").port();
        let mut alertmanager = Self { dir, port, child: None, notified };
        alertmanager.start();
        alertmanager
    }

    pub fn program(name: &str) -> Command {
        let mut command = Command::new(source("tests/alertmanager"));
        command.arg(name);
        command
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).expect("no log");
        let mut command = Self::program("prometheus-alertmanager");
        command.arg(format!("--config.file={}", self.dir.join("alertmanager.yml").display()));
        command.arg(format!("--storage.path={}", self.dir.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        command.arg("--cluster.listen-address=");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("failed to start Alertmanager"));
        wait_for("Alertmanager to be ready", || self.get("/-/ready"));
    }

    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("no Alertmanager");
        signal(child.id(), "TERM");
        child.wait().expect("failed to wait");
    }

    fn get(&self, target: &str) -> Option<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "30", "--noproxy", "*"]);
        let answer = output(curl.arg(format!("{}{target}", self.url())));
        answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// What fires there.
    pub fn alerts(&self) -> Vec<Value> {
        let text = self.get("/api/v2/alerts").expect("no answer of Alertmanager");
        serde_json::from_str(&text).expect("not JSON")
    }

    /// Alerts of notifications, `firing` or `resolved`.
    pub fn notified(&self, status: &str) -> Vec<Value> {
        let posted = self.notified.posted();
        let all = posted.iter().flat_map(|p| p.body["alerts"].as_array().cloned().unwrap_or_default());
        all.filter(|alert| alert["status"] == status).collect()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), "KILL");
            child.wait().ok();
        }
    }
}
