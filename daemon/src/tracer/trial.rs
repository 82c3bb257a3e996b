//! Whether looking into an object can be survived, found out in a process of its own: libbpf and its bindings
//! trust what they parse, and a damaged file must not end the daemon or hold it up.

use std::{
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus, Stdio},
};

use nix::sys::resource::{Resource, setrlimit};

use super::carry::Carry;
use super::load::{Instance, Loaded};
use super::open::TracerError;
use super::params::Values;
use super::{ObjectFile, Opened};
use crate::scope::Scope;

/// The hidden subcommand of `remora`.
pub const COMMAND: &str = "trial";
/// Seconds of processor time; parsing and loading take hundredths.
const CPU_SECONDS: u64 = 60;
const MEMORY: u64 = 1 << 30;

/// Has the object opened and loaded, on maps of its own, by a child that may die of it. What is wrong with an
/// object that can be survived is for the caller to find.
pub fn survives(file: &ObjectFile) -> Result<(), TracerError> {
    let refused = |why: String| TracerError { verb: "open", origin: file.origin.clone(), why };
    let status = run(&file.bytes()).map_err(|e| refused(format!("no trial possible: {e}")))?;
    if status.success() {
        return Ok(());
    }
    let how = match status.signal() {
        Some(signal) => nix::sys::signal::Signal::try_from(signal).map_or("a signal", |s| s.as_str()),
        None => "a panic",
    };
    Err(refused(format!("it is damaged or hostile: reading it ended in {how}")))
}

fn run(bytes: &[u8]) -> io::Result<ExitStatus> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(COMMAND).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: only system calls are made between fork and exec.
    unsafe {
        command.pre_exec(|| {
            setrlimit(Resource::RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS)?;
            setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?;
            Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
        });
    }
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // A child that has died already tells more by its status than by the pipe.
    let _ = stdin.write_all(bytes);
    drop(stdin);
    child.wait()
}

/// The child: reads the object from standard input. Any error is as good as success.
pub fn child() -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let file = ObjectFile::plain(COMMAND.into(), bytes);
    if Opened::open(&file).is_err() {
        return Ok(());
    }
    if let Ok(scope) = Scope::open(16, 64, 64 << 10, None) {
        let instance = Instance { bit: 0, number: 1, params: Values::new() };
        let _ = Loaded::load(&file, &scope.shared, instance, &Carry::default());
    }
    Ok(())
}
