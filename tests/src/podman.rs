//! podman with storage, hooks and configuration of the test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Bed, build_dir, emulated, output, run, source};

#[derive(Debug)]
pub struct Podman {
    dir: TempDir,
    hooks: PathBuf,
}

pub const IMAGE: &str = "localhost/remora-test";

impl Podman {
    /// With the test image.
    pub fn new(bed: &Bed) -> Self {
        let podman = Self::bare(bed);
        let image = podman.dir.path().join("image.tar");
        run(Command::new(source("tests/image")).arg(&image));
        run(podman.command(&["load", "--quiet", "--input"]).arg(image));
        podman
    }

    /// Without an image.
    pub fn bare(bed: &Bed) -> Self {
        let dir =
            tempfile::Builder::new().prefix("remora-podman-").tempdir().expect("failed to make a folder");
        let runtime = crate::runc::runtime();
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\npids_limit = 0\n\
             netns = \"none\"\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"{runtime}\"\n"
        );
        fs::write(dir.path().join("containers.conf"), conf).expect("failed to write containers.conf");
        let hooks = dir.path().join("hooks.d");
        fs::create_dir(&hooks).expect("failed to make a folder");
        let podman = Self { dir, hooks };
        podman.install_hook(bed);
        podman
    }

    /// Has podman call the hook for every container.
    pub fn with_labels(self, bed: &Bed) -> Self {
        self.install("remora-labels.json", bed);
        self
    }

    /// Containers that start from now on have no hook.
    pub fn without_hook(&self) {
        fs::remove_file(self.hooks.join("remora.json")).expect("no hook");
    }

    pub fn storage(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    fn install_hook(&self, bed: &Bed) {
        self.install("remora.json", bed);
    }

    /// A shipped configuration, with this bed's paths.
    fn install(&self, name: &str, bed: &Bed) {
        let text =
            fs::read_to_string(source("runtime-configs/podman").join(name)).expect("no runtime-configs");
        let text = text.replace("/usr/local/bin", &build_dir().display().to_string());
        let mut config: Value = serde_json::from_str(&text).expect("not JSON");
        let args = config["hook"]["args"].as_array_mut().expect("args");
        args.extend(bed.hook_args().into_iter().map(Value::from));
        if emulated() {
            config["hook"]["timeout"] = 30.into();
        }
        fs::write(self.hooks.join("remora.json"), config.to_string()).expect("failed to write the hook");
    }

    /// Where its hooks are looked for.
    pub fn hooks(&self) -> &Path {
        &self.hooks
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.dir.path().join("containers.conf"));
        for (flag, name) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(flag).arg(self.dir.path().join(name));
        }
        command.arg("--hooks-dir").arg(&self.hooks).args(args).stdin(Stdio::null());
        command
    }

    /// `podman run` of the test image; `options` come before the image.
    pub fn run_command(&self, name: &str, options: &[&str], args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--name", name]);
        command.args(options).arg(IMAGE).args(args);
        command
    }

    pub fn run(&self, name: &str, options: &[&str], args: &[&str]) -> String {
        run(&mut self.run_command(name, options, args))
    }

    /// How it stores images: `overlay`, or `vfs` where that cannot be.
    pub fn driver(&self) -> String {
        run(&mut self.command(&["info", "--format", "{{.Store.GraphDriverName}}"])).trim().to_owned()
    }

    /// The full id of a container.
    pub fn id(&self, name: &str) -> String {
        run(&mut self.command(&["inspect", "--format", "{{.Id}}", name])).trim().to_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = output(&mut self.command(&["rm", "--all", "--force", "--time", "0"]));
        let _ = output(&mut self.command(&["unmount", "--all"]));
        unmount_below(self.dir.path());
    }
}

/// What a killed manager has left mounted.
pub(crate) fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let here = dir.display().to_string();
    for mount in mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|m| m.starts_with(&here)) {
        let _ = Command::new("umount").arg("-l").arg(mount).status();
    }
}
