//! Bundles run by a low-level runtime, runc or crun, with our hook in their config.json.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Bed, build_dir, output, run};

#[derive(Debug)]
pub struct Bundle {
    pub id: String,
    dir: TempDir,
    runtime: &'static str,
    root: PathBuf,
}

impl Bundle {
    /// A bundle of busybox that runs `args` and opts in with `trace` (empty: not at all).
    pub fn new(bed: &Bed, id: &str, trace: &str, args: &[&str]) -> Self {
        Self::with(bed, id, args, |config| {
            if !trace.is_empty() {
                config["annotations"]["io.remora.trace"] = trace.into();
            }
        })
    }

    /// A bundle whose configuration is changed before it is written.
    pub fn with(bed: &Bed, id: &str, args: &[&str], change: impl FnOnce(&mut Value)) -> Self {
        let dir =
            tempfile::Builder::new().prefix("remora-bundle-").tempdir().expect("failed to make a folder");
        rootfs(&dir.path().join("rootfs"));
        let runtime = runtime();
        let root = state_root(bed, id);
        let bundle = Self { id: id.to_owned(), dir, runtime, root };
        let mut config = spec(bed, &bundle, args);
        let hook = |stage: &str| {
            let mut hook_args = vec!["remora-hook".to_owned()];
            hook_args.extend(bed.hook_args());
            hook_args.push(stage.to_owned());
            json!([{ "path": build_dir().join("remora-hook"), "args": hook_args, "timeout": 10 }])
        };
        config["hooks"] = json!({ "createRuntime": hook("createRuntime"), "poststop": hook("poststop") });
        change(&mut config);
        let text = serde_json::to_string(&config).expect("a config");
        fs::write(bundle.path().join("config.json"), text).expect("failed to write config.json");
        bundle
    }

    /// Puts the binary of acts into the container, as `/bin/act`.
    pub fn with_act(self) -> Self {
        put_program(&act(), &self.rootfs(), "bin/act");
        self
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// The runtime with arguments of its own.
    pub fn runtime(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.runtime);
        command.arg("--root").arg(&self.root).args(args);
        command
    }

    /// Runs the container to its end; what it printed.
    pub fn run(&self) -> String {
        run(self.run_command().stdin(Stdio::null()))
    }

    pub fn run_command(&self) -> Command {
        let mut command = self.runtime(&["run", "--bundle"]);
        command.arg(self.path()).arg(&self.id);
        command
    }

    /// Runs it in the background.
    pub fn start(&self) -> Child {
        let mut command = self.run_command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("failed to start the runtime")
    }

    pub fn exec(&self, args: &[&str]) -> String {
        let mut command = self.runtime(&["exec"]);
        run(command.arg(&self.id).args(args).stdin(Stdio::null()))
    }

    /// Init's pid, once the container runs.
    pub fn pid(&self) -> Option<u32> {
        let state = output(&mut self.runtime(&["state", &self.id]));
        let state: Value = serde_json::from_slice(&state.stdout).ok()?;
        (state["status"] == "running").then(|| state["pid"].as_u64().map(|p| p as u32)).flatten()
    }

    pub fn delete(&self) {
        let _ = output(&mut self.runtime(&["delete", "--force", &self.id]));
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.delete();
        let _ = fs::remove_dir(&self.root);
    }
}

/// Where the runtime keeps the state of a container, and of no other.
pub fn state_root(bed: &Bed, id: &str) -> PathBuf {
    PathBuf::from(format!("/run/{}-{id}", bed.name()))
}

/// `REMORA_RUNTIME_UNDER_TEST`, runc if not said.
pub fn runtime() -> &'static str {
    match std::env::var("REMORA_RUNTIME_UNDER_TEST").as_deref() {
        Ok("crun") => "crun",
        _ => "runc",
    }
}

/// The binary of `tests/act`: beside the binaries under test, where it was carried there, else as just built.
pub fn act() -> PathBuf {
    let carried = build_dir().join("act");
    if carried.exists() {
        return carried;
    }
    let tests = std::env::current_exe().expect("our own path");
    tests
        .ancestors()
        .map(|dir| dir.join("act"))
        .find(|p| p.is_file())
        .expect("no act: build the tests' binaries")
}

/// Puts a program into a root, with the libraries it needs if it is not static.
pub fn put_program(program: &Path, root: &Path, name: &str) {
    let to = root.join(name);
    fs::create_dir_all(to.parent().expect("a folder")).expect("failed to make a folder");
    // By a process of its own, as busybox below.
    run(Command::new("cp").arg("-L").arg(program).arg(&to));
    let listed = output(Command::new("ldd").arg(program));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("failed to make a folder");
        run(Command::new("cp").arg("-L").arg(library).arg(to));
    }
}

/// busybox with its applets.
fn rootfs(root: &Path) {
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
        fs::create_dir_all(root.join(dir)).expect("failed to make a folder");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|p| Path::new(p).exists());
    // By a process of its own: a descriptor open for writing here could be inherited by a child of another
    // test's, and what is open for writing cannot be executed.
    run(Command::new("cp").arg(busybox.expect("no busybox")).arg(root.join("bin/busybox")));
    run(Command::new("chroot").arg(root).args(["/bin/busybox", "--install", "/bin"]));
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("failed to write");
}

fn spec(bed: &Bed, bundle: &Bundle, args: &[&str]) -> Value {
    let capabilities = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_KILL",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_NET_RAW",
        "CAP_SYS_ADMIN",
    ];
    json!({
        "ociVersion": "1.0.2",
        "hostname": "test",
        "root": { "path": "rootfs", "readonly": false },
        "process": {
            "args": args,
            "cwd": "/",
            "env": ["PATH=/bin", "HOME=/root"],
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "noNewPrivileges": false
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "rw"] }
        ],
        "annotations": {},
        "linux": {
            "cgroupsPath": format!("/remora-test/{}-{}", bed.name(), bundle.id),
            "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }]
        }
    })
}
