//! Cgroups of the test's own, as systemd or an administrator would make them.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{bed::signal, wait_for};

/// Goes with all that is in it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Below the root of the v2 hierarchy, or below another one's folder.
    pub fn new(above: Option<&Cgroup>, name: &str) -> Self {
        let path = above.map_or_else(mount, |a| a.path.clone()).join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("failed to make cgroup {}: {e}", path.display()));
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As `/proc/PID/cgroup` has it.
    pub fn relative(&self) -> String {
        format!("/{}", self.path.strip_prefix(mount()).expect("below the mount").display())
    }

    pub fn id(&self) -> u64 {
        fs::metadata(&self.path).expect("no cgroup").ino()
    }

    /// A command that executes within, and does nothing else there.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ >\"$0\"/cgroup.procs && exec \"$@\""]).arg(&self.path).args(args);
        command.stdin(Stdio::null());
        command
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        let child = self.command(args).spawn().expect("failed to start a shell");
        let name = args[0].rsplit('/').next().expect("a name");
        wait_for("the command to execute in its cgroup", || {
            let comm = fs::read_to_string(format!("/proc/{}/comm", child.id())).ok()?;
            (comm.trim() == name).then_some(())
        });
        child
    }

    /// Removes it, once what ran in it has gone.
    pub fn remove(self) {
        wait_for("the cgroup to be removed", || fs::remove_dir(&self.path).ok());
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            let procs = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
            procs.lines().filter_map(|pid| pid.parse().ok()).for_each(|pid| {
                let _ = std::panic::catch_unwind(|| signal(pid, "KILL"));
            });
            match fs::remove_dir(&self.path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}

fn mount() -> PathBuf {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/unified" }.into()
}
