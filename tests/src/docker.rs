//! dockerd with data, sockets, cgroup and configuration of the test's own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{bed::signal, output, run, source, wait_for};

pub const IMAGE: &str = "localhost/remora-test";
/// Another `docker` may come first in PATH.
const CLIENT: &str = "/usr/bin/docker";
const DAEMON: &str = "/usr/sbin/dockerd";

#[derive(Debug)]
pub struct Docker {
    dir: TempDir,
    daemon: Option<Child>,
}

impl Docker {
    /// With the test image, and this as daemon.json.
    pub fn new(config: &str) -> Self {
        let dir =
            tempfile::Builder::new().prefix("remora-docker-").tempdir().expect("failed to make a folder");
        let mut docker = Self { dir, daemon: None };
        fs::write(docker.config(), config).expect("failed to write daemon.json");
        docker.start();
        let image = docker.path("image.tar");
        run(Command::new(source("tests/image")).arg(&image));
        run(docker.command(&["load", "--quiet", "--input"]).arg(image));
        docker
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("daemon.json")
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    pub fn data_root(&self) -> PathBuf {
        self.path("data")
    }

    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("no dockerd").id()
    }

    /// Containers outlive it, as with live-restore.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("dockerd.log")).expect("no log");
        let mut command = Command::new(DAEMON);
        for (flag, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(flag).arg(self.path(name));
        }
        command.arg("--host").arg(format!("unix://{}", self.socket().display()));
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false"]);
        command.args(["--exec-opt=native.cgroupdriver=cgroupfs", "--oom-score-adjust=0", "--live-restore"]);
        command.arg("--cgroup-parent").arg(format!("/{}", self.name()));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("no log")).stderr(log);
        self.daemon = Some(command.spawn().expect("failed to start dockerd"));
        wait_for("dockerd to come up", || {
            let ended = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
            assert!(ended.is_none(), "dockerd ended:\n{}", self.log());
            output(&mut self.command(&["version"])).status.success().then_some(())
        });
    }

    /// SIGTERM, and wait for the end.
    pub fn stop(&mut self) {
        self.end("TERM");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.end("KILL");
    }

    fn end(&mut self, name: &str) {
        let mut daemon = self.daemon.take().expect("no dockerd");
        signal(daemon.id(), name);
        wait_for("dockerd to end", || daemon.try_wait().expect("failed to wait"));
        // Its containerd goes with it, a moment later.
        let containerd = fs::read_to_string(self.path("exec/containerd/containerd.pid")).unwrap_or_default();
        wait_for("its containerd to end", || {
            let alive = Path::new("/proc").join(containerd.trim()).join("exe").exists();
            (containerd.trim().is_empty() || !alive).then_some(())
        });
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("dockerd.log")).unwrap_or_default()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        command.env("DOCKER_CONFIG", self.dir.path()).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// `docker run` of the test image; `options` come before the image.
    pub fn run_command(&self, name: &str, options: &[&str], args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--network", "none", "--name", name]);
        command.args(options).arg(IMAGE).args(args);
        command
    }

    pub fn run(&self, name: &str, options: &[&str], args: &[&str]) -> String {
        run(&mut self.run_command(name, options, args)).trim().to_owned()
    }

    /// The full id of a container.
    pub fn id(&self, name: &str) -> String {
        run(&mut self.command(&["inspect", "--format", "{{.Id}}", name])).trim().to_owned()
    }

    /// Init, as docker sees it.
    pub fn init(&self, name: &str) -> u32 {
        let pid = run(&mut self.command(&["inspect", "--format", "{{.State.Pid}}", name]));
        pid.trim().parse().expect("a pid")
    }

    fn name(&self) -> String {
        self.dir.path().file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// What must not outlive the test: containers by their cgroup, shims that a killed daemon forgot, then mounts and
    /// cgroups.
    fn clean(&self) {
        let cgroups = self.cgroups();
        for pid in self.shims() {
            let _ = output(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
        for cgroup in &cgroups {
            let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines() {
                let _ = output(Command::new("kill").args(["-KILL", pid]));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let here = self.dir.path().display().to_string();
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for mount in mounts.filter(|mount| mount.starts_with(&here)).collect::<Vec<_>>().iter().rev() {
            let _ = output(Command::new("umount").arg("-l").arg(mount));
        }
        let end = Instant::now() + Duration::from_secs(5);
        while cgroups.iter().rev().any(|cgroup| fs::remove_dir(cgroup).is_err() && cgroup.exists()) {
            if Instant::now() > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn shims(&self) -> Vec<u32> {
        let address = self.path("exec/containerd/containerd.sock").display().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').any(|argument| argument == address)
        })
        .collect()
    }

    /// All of this docker's, outer before inner.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        let mut add = |root: &Path| {
            let own = root.join(self.name());
            if own.is_dir() {
                let inner = fs::read_dir(&own).into_iter().flatten().flatten().map(|entry| entry.path());
                let inner: Vec<_> = inner.filter(|path| path.is_dir()).collect();
                all.push(own);
                all.extend(inner);
            }
        };
        let root = Path::new("/sys/fs/cgroup");
        add(root);
        for hierarchy in fs::read_dir(root).into_iter().flatten().flatten() {
            add(&hierarchy.path());
        }
        all
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let pid = daemon.id().to_string();
            // A stopped process must be let go on before it can end.
            let _ = output(Command::new("kill").args(["-CONT", &pid]));
            let ids = output(&mut self.command(&["ps", "--all", "--quiet"]));
            let ids = String::from_utf8_lossy(&ids.stdout).into_owned();
            if !ids.trim().is_empty() {
                let _ = output(self.command(&["rm", "--force"]).args(ids.split_whitespace()));
            }
            let _ = output(Command::new("kill").args(["-TERM", &pid]));
            let end = Instant::now() + Duration::from_secs(15);
            while daemon.try_wait().is_ok_and(|status| status.is_none()) {
                if Instant::now() > end {
                    let _ = daemon.kill();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if std::thread::panicking() {
            eprintln!("dockerd said:\n{}", self.log());
        }
        self.clean();
    }
}
