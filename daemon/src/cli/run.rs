//! `remora run`: any command in a cgroup of its own, under the same machinery as a container.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write, pipe},
    os::unix::{net::UnixStream, process::CommandExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use remora_wire::{Ack, KEY_TRACE, Namespaces, Notice, Stage, read_frame, write_frame};

use crate::config::Config;
use crate::host::{cgroup::CgroupRoot, proc};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora run --trace exec,tcp -- make test\n  remora run --name job -- ./job.sh"
)]
pub struct Args {
    /// Tracers or groups.
    #[arg(long, value_name = "LIST", default_value = "default")]
    trace: String,
    /// Name shown in events; by default that of the command and a number.
    #[arg(long)]
    name: Option<String>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub fn run(args: Args, config: &Config) -> anyhow::Result<ExitCode> {
    let base = Path::new(&args.command[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.unwrap_or_else(|| format!("{base}-{}", std::process::id()));
    let group = Group::new(&name)?;
    // The child waits in front of its exec until the daemon has it in scope.
    let (mut ready, mut tell) = pipe()?;
    let (wait, go) = pipe()?;
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]);
    let mut wait = Some(wait);
    // SAFETY: between fork and exec only writes and reads of pipes that both sides hold.
    unsafe {
        command.pre_exec(move || {
            tell.write_all(&std::process::id().to_ne_bytes())?;
            let mut answer = [0];
            match wait.take().map(|mut w| w.read(&mut answer)) {
                Some(Ok(1)) => Ok(()),
                _ => Err(std::io::ErrorKind::Interrupted.into()),
            }
        })
    };
    let spawned = std::thread::spawn(move || command.spawn());
    let mut pid = [0; 4];
    let forked = ready.read_exact(&mut pid).context("failed to fork");
    let pid = u32::from_ne_bytes(pid);
    let admitted = forked.and_then(|()| admit(config, &group.path, pid, &name, &args.trace));
    if admitted.is_ok() {
        let _ = (&go).write_all(&[1]);
    } else if pid > 1 {
        // It holds the pipe's other end itself, and would wait for ever.
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
    drop(go);
    let child = spawned.join().map_err(|_| anyhow::anyhow!("failed to start the command"))?;
    admitted?;
    let mut child = child.with_context(|| format!("failed to execute {}", args.command[0]))?;
    let status = child.wait()?;
    group.remove();
    Ok(exit_code(status))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn admit(config: &Config, group: &Path, pid: u32, name: &str, trace: &str) -> anyhow::Result<()> {
    let procs = group.join("cgroup.procs");
    fs::write(&procs, pid.to_string()).with_context(|| format!("failed to write {}", procs.display()))?;
    let notice = Notice {
        stage: Stage::CreateRuntime,
        id: name.to_owned(),
        pid: Some(pid),
        start_time: Some(proc::start_time(pid)?),
        bundle: String::new(),
        root: "/".into(),
        annotations: BTreeMap::from([(KEY_TRACE.to_owned(), trace.to_owned())]),
        truncated: false,
        namespaces: Namespaces::default(),
        runtime: "remora".into(),
        at: 0,
    };
    let socket = &config.hook.socket;
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("failed to reach the daemon at {}: is it running?", socket.display()))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write_frame(&mut stream, &notice)?;
    let ack: Ack = read_frame(&mut stream)?;
    if !ack.ok {
        bail!("the daemon refused: {}", ack.message);
    }
    Ok(())
}

/// A cgroup below `remora.run`.
struct Group {
    path: PathBuf,
}

impl Group {
    fn new(name: &str) -> anyhow::Result<Self> {
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || name.contains(['/', '\n']) {
            bail!("the name {name:?} cannot be that of a cgroup");
        }
        let path = CgroupRoot::discover()?.path().join("remora.run").join(name);
        let above = path.parent().unwrap_or(&path);
        fs::create_dir_all(above).with_context(|| format!("failed to create cgroup {}", above.display()))?;
        // One that a killed `remora run` left goes; one in use is somebody else's, and fails the next step.
        let _ = fs::remove_dir(&path);
        fs::create_dir(&path).with_context(|| {
            format!("failed to create cgroup {}: does a command named {name} still run?", path.display())
        })?;
        Ok(Self { path })
    }

    /// Processes that the command left behind keep the cgroup, and are traced until they end.
    fn remove(&self) {
        for _ in 0..20 {
            if fs::remove_dir(&self.path).is_ok() {
                let _ = self.path.parent().map(fs::remove_dir);
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        eprintln!("remora: processes remain in {}; they are still traced", self.path.display());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After a failure; where `remove` succeeded there is nothing left to do.
        let _ = fs::remove_dir(&self.path);
        let _ = self.path.parent().map(fs::remove_dir);
    }
}
