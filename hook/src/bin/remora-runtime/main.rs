//! `remora-runtime`: stands in for runc or crun with managers that have no hook folder of their own (docker,
//! ctr, nerdctl). It adds our hooks to containers that opt in, or that may be wanted by their labels, and then
//! becomes the real runtime.

mod argv;
mod find;
mod inject;
mod rewrite;

use argv::Call;
use remora_wire::bundle::read_config;
use remora_wire::{ASK_FILE, Annotations, Bundle, KEY_REQUIRED, Log, is_required, opts_in, text, time};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, exit};
use std::sync::atomic::{AtomicBool, Ordering};

const TAG: &str = "remora-runtime";

/// Whether the container would rather not start than start untraced, for whoever handles a panic.
static REQUIRED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let call = Call::parse(&args);
    let real = match find::runtime() {
        Ok(real) => real,
        Err(e) => return fail(&call, &format!("failed to find the real runtime: {e}")),
    };
    if call.creates {
        fail_open(real.clone(), args.clone());
        if let Err(e) = prepare(&call) {
            return fail(&call, &e);
        }
    }
    let e = become_runtime(&real, &args);
    fail(&call, &format!("failed to execute {}: {e}", real.display()))
}

/// From here on a panic of ours does not keep the container from starting.
fn fail_open(real: PathBuf, args: Vec<OsString>) {
    std::panic::set_hook(Box::new(move |panic| {
        log().error(panic);
        if !REQUIRED.load(Ordering::Relaxed) {
            become_runtime(&real, &args);
        }
        exit(1);
    }));
}

/// Returns only if it fails.
fn become_runtime(real: &Path, args: &[OsString]) -> io::Error {
    Command::new(real).args(args).exec()
}

/// Adds our hooks if the container opts in. The error is that of a container that must not run untraced;
/// any other starts as it is.
fn prepare(call: &Call) -> Result<(), String> {
    let (path, config, annotations) = match read(call) {
        Ok(read) => read,
        Err(e) => {
            log().warn(format_args!("added no hook: {e}"));
            return Ok(());
        }
    };
    if !opts_in(&annotations) {
        if may_be_wanted() {
            let _ = add_hooks(&path, &config);
        }
        return Ok(());
    }
    REQUIRED.store(is_required(&annotations), Ordering::Relaxed);
    match add_hooks(&path, &config) {
        Err(e) if is_required(&annotations) => Err(format!(
            "the container was not started, because it must not run untraced ({KEY_REQUIRED} is \"true\") and {e}"
        )),
        Err(e) => {
            log().error(format_args!("the container in {} starts without our hooks: {e}", path.display()));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether a container that does not ask may be wanted by its labels or by an administrator: then its hook asks.
fn may_be_wanted() -> bool {
    let path = std::env::var_os("REMORA_ASK").unwrap_or_else(|| ASK_FILE.into());
    Path::new(&path).exists()
}

fn read(call: &Call) -> Result<(PathBuf, String, Annotations), String> {
    let cwd = std::env::current_dir().map_err(|e| format!("failed to read the current folder: {e}"))?;
    let path = call.config(&cwd);
    let config = read_config(&path).map_err(|e| format!("failed to read {}: {e}", path.display()))?;
    let bundle =
        Bundle::parse(&config, &cwd).map_err(|e| format!("failed to parse {}: {e}", path.display()))?;
    Ok((path, config, bundle.annotations))
}

fn add_hooks(path: &Path, config: &str) -> Result<(), String> {
    let hook = find::hook()?;
    let edited =
        inject::inject(config, &hook).map_err(|e| format!("failed to edit {}: {e}", path.display()))?;
    match edited {
        Some(text) => {
            rewrite::rewrite(path, &text).map_err(|e| format!("failed to write {}: {e}", path.display()))
        }
        None => Ok(()),
    }
}

fn log() -> Log {
    Log::new(TAG, std::env::var_os("REMORA_LOG").map(PathBuf::from))
}

/// Tells the error where the caller of a runtime looks for it: on stderr and in the file of `--log`.
fn fail(call: &Call, message: &str) -> ExitCode {
    log().error(message);
    let message = format!("{TAG}: {}", text::printable(message, 2000));
    let _ = writeln!(io::stderr(), "{message}");
    if let Some(path) = &call.log {
        let time = time::rfc3339(time::unix_ns() / 1_000_000_000);
        let line = match call.log_json {
            true => serde_json::json!({ "level": "error", "msg": message, "time": time }).to_string(),
            false => format!("time={time:?} level=error msg={message:?}"),
        };
        let file = OpenOptions::new().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
    ExitCode::FAILURE
}
