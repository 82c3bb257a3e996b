//! containerd with folders, sockets, namespace and cgroups of the test's own, with its CRI plugin and our hook in it.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Bed, Bundle, Cri, bed::signal, build_dir, output, podman::IMAGE, run, source, wait_for};

/// With a label that asks for everything, which nobody but an administrator may let it.
pub const LABELLED: &str = "localhost/remora-labelled";
const PAUSE: &str = "localhost/remora-pause";
const OF_PODS: &str = "k8s.io";

#[derive(Debug)]
pub struct Containerd {
    dir: TempDir,
    /// ctr's containers' namespace, so that nobody else's has the same name.
    namespace: String,
    child: Option<Child>,
    ours: Ours,
}

/// What of ours is in its configuration.
#[derive(Debug)]
enum Ours {
    /// Our hooks, and which annotations they are to see.
    Hooks,
    /// Nothing, so that it can be installed.
    Nothing,
    /// Nothing, for a plugin adds what is needed.
    Plugin(Nri),
}

#[derive(Debug)]
struct Nri {
    socket: PathBuf,
    /// Where a containerd is that has it.
    programs: PathBuf,
}

impl Containerd {
    /// Runs, with images, and calls the bed's hook for what is started through [`Self::wrapper`] or as a pod.
    pub fn new(bed: &Bed) -> Self {
        Self::of(bed, Ours::Hooks)
    }

    /// With nothing of ours in its configuration; it starts no container whose limits it may not raise.
    pub fn stock(bed: &Bed) -> Self {
        Self::of(bed, Ours::Nothing)
    }

    /// Serves NRI where [`Self::nri_socket`] says, to a plugin that adds [`Self::hook`].
    pub fn with_nri(bed: &Bed) -> Self {
        let programs = run(&mut Command::new(source("tests/nri-containerd"))).trim().into();
        Self::of(bed, Ours::Plugin(Nri { socket: Self::nri_socket(bed), programs }))
    }

    pub fn nri_socket(bed: &Bed) -> PathBuf {
        bed.path("nri.sock")
    }

    /// What a plugin adds: the hook with the bed's arguments.
    pub fn nri_hook(bed: &Bed) -> PathBuf {
        bed.path("remora-hook")
    }

    fn of(bed: &Bed, ours: Ours) -> Self {
        let dir = tempfile::Builder::new().prefix("remora-ctrd-").tempdir().expect("failed to make a folder");
        let namespace = bed.name();
        let mut containerd = Self { dir, namespace, child: None, ours };
        write_hook(bed, &containerd.path("remora-hook"));
        write_hook(bed, &Self::nri_hook(bed));
        containerd.write_config(bed);
        containerd.start();
        containerd.import();
        containerd
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The cgroup that all containers here are below.
    pub fn cgroup(&self) -> String {
        format!("/remora-test/{}", self.namespace)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("no containerd").id()
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    fn write_config(&self, bed: &Bed) {
        let (root, state) = (self.path("root"), self.state());
        let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
        let text = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\noom_score = 0\n\
             [grpc]\naddress = {:?}\n\
             [{cri}]\nrestrict_oom_score_adj = true\ndisable_tcp_service = true\nsandbox_image = \"{PAUSE}:latest\"\n\
             [{cri}.containerd]\ndefault_runtime_name = \"runc\"\n\
             [{cri}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n{}",
            self.socket(),
            self.ours(bed)
        );
        fs::write(self.config(), text).expect("failed to write the configuration");
    }

    /// The runtime's default without limits that may not be raised, and with our hooks unless a plugin adds them.
    fn base_spec(&self, bed: &Bed) -> Value {
        let default = run(self.program("ctr").args(["oci", "spec"]));
        let mut spec: Value = serde_json::from_str(&default).expect("not JSON");
        spec["process"].as_object_mut().expect("a process").remove("rlimits");
        if !matches!(self.ours, Ours::Hooks) {
            return spec;
        }
        let hook = |stage: &str| {
            let mut args = vec!["remora-hook".to_owned()];
            args.extend(bed.hook_args());
            args.push(stage.to_owned());
            json!([{ "path": build_dir().join("remora-hook"), "args": args, "timeout": 10 }])
        };
        spec["hooks"] = json!({ "createRuntime": hook("createRuntime"), "poststop": hook("poststop") });
        spec
    }

    /// What makes its containers traceable, after the runtime's own lines.
    fn ours(&self, bed: &Bed) -> String {
        let base = || {
            let base = self.path("base.json");
            fs::write(&base, self.base_spec(bed).to_string())
                .expect("failed to write the base specification");
            format!("base_runtime_spec = {base:?}\n")
        };
        match &self.ours {
            Ours::Nothing => String::new(),
            // Their `*` does not go over a slash.
            Ours::Hooks => {
                let ours = r#"["io.remora.*", "io.remora.*/*"]"#;
                format!("{}pod_annotations = {ours}\ncontainer_annotations = {ours}\n", base())
            }
            Ours::Plugin(nri) => {
                let plugins = self.path("nri");
                format!(
                    "{}[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = false\nsocket_path = {:?}\n\
                     plugin_path = {plugins:?}\nplugin_config_path = {plugins:?}\n",
                    base(),
                    nri.socket
                )
            }
        }
    }

    /// A program of containerd's.
    fn program(&self, name: &str) -> Command {
        let Ours::Plugin(nri) = &self.ours else { return Command::new(name) };
        let mut command = Command::new(nri.programs.join(name));
        // Where it looks for its shims.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", nri.programs.display()));
        command
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "containerd runs already");
        let log = File::options().create(true).append(true).open(self.path("log")).expect("no log");
        let mut command = self.program("containerd");
        command.arg("--config").arg(self.config());
        command.env("REMORA_HOOK", self.path("remora-hook")).env("REMORA_RUNTIME", "runc");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("no log")).stderr(log);
        self.child = Some(command.spawn().expect("failed to start containerd"));
        wait_for("containerd", || output(&mut self.ctr(&["version"])).status.success().then_some(()));
        let mut cri = self.cri();
        wait_for("the CRI plugin", || cri.serves().then_some(()));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("no containerd");
        child.kill().expect("failed to kill containerd");
        child.wait().expect("failed to wait for containerd");
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    fn import(&self) {
        let labels = r#"{"io.remora.trace":"all","vendor":"image"}"#;
        let pause = r#"["/bin/sleep","1000000"]"#;
        for (name, cmd, labels) in [(IMAGE, "", ""), (LABELLED, "", labels), (PAUSE, pause, "")] {
            let tar = self.path("image.tar");
            let mut command = Command::new(source("tests/image"));
            command.arg(&tar).env("IMAGE_NAME", name).env("IMAGE_CMD", cmd).env("IMAGE_LABELS", labels);
            run(&mut command);
            for namespace in [self.namespace.as_str(), OF_PODS] {
                run(self.ctr(&["--namespace", namespace, "images", "import"]).arg(&tar));
            }
        }
    }

    /// In the namespace of the test's own, unless another one is said.
    pub fn ctr(&self, args: &[&str]) -> Command {
        let mut command = self.program("ctr");
        command.arg("--address").arg(self.socket());
        command.args(["--namespace", &self.namespace]).args(args).stdin(Stdio::null());
        command
    }

    /// `ctr run` of an image; `options` come before it.
    pub fn run_command(&self, id: &str, options: &[&str], image: &str, args: &[&str]) -> Command {
        let cgroup = format!("{}/{id}", self.cgroup());
        // Where cgroup2 has no controllers, none can be asked for.
        let mut command = self.ctr(&["run", "--cgroup", &cgroup, "--cpu-shares", "0"]);
        command.args(options).arg(format!("{image}:latest")).arg(id).args(args);
        command
    }

    pub fn run(&self, id: &str, options: &[&str], args: &[&str]) -> String {
        run(&mut self.run_command(id, options, IMAGE, args))
    }

    /// `ctr run` of a bundle's own specification and root.
    pub fn run_bundle(&self, bundle: &Bundle, options: &[&str]) -> String {
        let file = bundle.path().join("config.json");
        let mut config: Value =
            serde_json::from_slice(&fs::read(&file).expect("no config.json")).expect("not JSON");
        config["root"]["path"] = bundle.rootfs().display().to_string().into();
        config["linux"]["cgroupsPath"] = format!("{}/{}", self.cgroup(), bundle.id).into();
        fs::write(&file, config.to_string()).expect("failed to write config.json");
        let mut command = self.ctr(&["run"]);
        run(command.args(options).arg("--config").arg(&file).arg(&bundle.id))
    }

    /// The option that has the hook called.
    pub fn wrapper(&self) -> [String; 2] {
        ["--runc-binary".into(), build_dir().join("remora-runtime").display().to_string()]
    }

    /// Init's pid, as containerd has it.
    pub fn init(&self, id: &str) -> Option<u32> {
        let listed = run(&mut self.ctr(&["tasks", "ls"]));
        let mut rows = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.find(|row| row.len() == 3 && row[0] == id && row[2] == "RUNNING")?[1].parse().ok()
    }

    /// The shim of a process.
    pub fn shim(pid: u32) -> u32 {
        parent(pid).expect("no such process")
    }

    /// A client as a kubelet is one; its pods' cgroups are below the test's own.
    pub fn cri(&self) -> Cri {
        Cri::connect(&self.socket(), &self.cgroup())
    }

    /// The specification by which a pod's container runs.
    pub fn spec(&self, id: &str) -> Value {
        let bundle = self.state().join("io.containerd.runtime.v2.task").join(OF_PODS).join(id);
        let text = fs::read(bundle.join("config.json")).expect("no config.json");
        serde_json::from_slice(&text).expect("not JSON")
    }

    /// Where containerd keeps bundles: namespace and id.
    fn bundles(&self) -> Vec<(String, String)> {
        let listed = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
        let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let spaces = listed(&self.state().join("io.containerd.runtime.v2.task"));
        spaces.flat_map(|ns| listed(&ns.path()).map(move |b| (name(&ns), name(&b)))).collect()
    }

    /// Shims of ours, by our socket in their arguments.
    fn shims(&self) -> Vec<u32> {
        let socket = self.socket().display().to_string();
        processes().filter(|pid| arguments(*pid).iter().any(|a| a == &socket)).collect()
    }
}

/// The wrapper names the hook and nothing else: the bed's arguments are in a script of the hook's name.
pub fn write_hook(bed: &Bed, hook: &Path) {
    let args: Vec<String> = bed.hook_args().iter().map(|a| format!("'{a}'")).collect();
    let text = format!("#!/bin/sh\nexec {}/remora-hook {} \"$@\"\n", build_dir().display(), args.join(" "));
    fs::write(hook, text).expect("failed to write the hook");
    fs::set_permissions(hook, PermissionsExt::from_mode(0o755)).expect("failed to make it a program");
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn arguments(pid: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|b| *b == 0).map(|a| String::from_utf8_lossy(a).into_owned()).collect()
}

fn kill_all(pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    if !pids.is_empty() {
        let _ = Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status();
    }
}

/// Removes a cgroup of every hierarchy, with all below it.
fn remove_cgroup(path: &str) {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        for dir in [hierarchy.path().join(&path[1..]), Path::new("/sys/fs/cgroup").join(&path[1..])] {
            let _ = Command::new("find").arg(dir).args(["-depth", "-type", "d", "-delete"]).output();
        }
    }
}

impl Drop for Containerd {
    /// By hand: whatever state the test has left containerd in.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("containerd said:\n{}", fs::read_to_string(self.path("log")).unwrap_or_default());
        }
        if self.child.is_some() {
            self.kill();
        }
        let shims = self.shims();
        let inits: Vec<u32> =
            processes().filter(|pid| parent(*pid).is_some_and(|p| shims.contains(&p))).collect();
        kill_all(&inits);
        kill_all(&shims);
        let gone = |pid: &u32| !Path::new(&format!("/proc/{pid}/root/proc")).exists();
        for _ in 0..200 {
            if inits.iter().chain(&shims).all(gone) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        for (namespace, id) in self.bundles() {
            let _ = fs::remove_dir_all(format!("/run/containerd/runc/{namespace}/{id}"));
        }
        let _ = fs::remove_dir(format!("/run/containerd/runc/{}", self.namespace));
        crate::podman::unmount_below(self.dir.path());
        remove_cgroup(&self.cgroup());
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}
