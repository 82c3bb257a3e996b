//! A private world for one test: socket, spool and log in a temporary folder.

use remora_wire::{Ack, Notice, read_frame, write_frame};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

pub const HOOK: &str = env!("CARGO_BIN_EXE_remora-hook");
/// The hook's budget in tests that let it run out, and the time by which it must surely be over.
pub const BUDGET: Duration = Duration::from_millis(200);
pub const SLACK: Duration = Duration::from_secs(4);

pub struct Rig {
    dir: tempfile::TempDir,
}

/// What a process did.
pub struct Outcome {
    pub code: Option<i32>,
    pub stderr: String,
    pub took: Duration,
}

impl Rig {
    pub fn new() -> Self {
        let rig = Self { dir: tempfile::tempdir().unwrap() };
        rig.config(json!({}));
        rig
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("hook.sock")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A command of the hook with everything in this world and nothing in its environment.
    pub fn hook(&self, budget: Duration) -> Command {
        let mut command = Command::new(HOOK);
        command.env_clear().current_dir("/").arg("--socket").arg(self.socket());
        command.arg("--spool").arg(self.path("spool")).arg("--log").arg(self.path("log"));
        command.arg("--ask").arg(self.path("ask"));
        command.arg("--timeout-ms").arg(budget.as_millis().to_string());
        command
    }

    /// Runs the hook with plenty of time.
    pub fn run(&self, stage: &str, state: &str) -> Outcome {
        self.run_within(Duration::from_secs(20), stage, state)
    }

    pub fn run_within(&self, budget: Duration, stage: &str, state: &str) -> Outcome {
        run(self.hook(budget).arg(stage), state.as_bytes())
    }

    /// The state of an opted-in container whose init is this very process, with more annotations.
    pub fn state(&self, more: Value) -> String {
        let mut annotations = json!({ "io.remora.trace": "exec" });
        annotations.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "ociVersion": "1.0.2", "id": "c1", "status": "creating", "pid": std::process::id(),
            "bundle": self.dir.path(), "annotations": annotations,
        })
        .to_string()
    }

    pub fn config(&self, config: Value) {
        fs::write(self.path("config.json"), config.to_string()).unwrap();
    }

    /// Notices in the spool, oldest first.
    pub fn spooled(&self) -> Vec<Notice> {
        let Ok(entries) = fs::read_dir(self.path("spool")) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    }

    /// A daemon that reads each notice, hands it to the test, and lets `answer` do the rest.
    pub fn daemon(&self, answer: impl Fn(UnixStream) + Send + 'static) -> Receiver<Notice> {
        let listener = UnixListener::bind(self.socket()).unwrap();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A test may be over before its daemon is.
                let Ok(notice) = read_frame(&mut stream) else { continue };
                let _ = sender.send(notice);
                answer(stream);
            }
        });
        receiver
    }

    /// A daemon that answers as it should.
    pub fn acking(&self, ok: bool, message: &'static str) -> Receiver<Notice> {
        self.daemon(move |mut stream| {
            let _ = write_frame(&mut stream, &Ack { ok, message: message.into() });
        })
    }
}

/// Runs a command to its end with these bytes as its whole input.
pub fn run(command: &mut Command, input: &[u8]) -> Outcome {
    let start = Instant::now();
    let mut child =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // The hook need not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input);
    finish(child, start)
}

pub fn finish(mut child: Child, start: Instant) -> Outcome {
    let mut stderr = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut stderr).unwrap();
    }
    let code = child.wait().unwrap().code();
    Outcome { code, stderr, took: start.elapsed() }
}
