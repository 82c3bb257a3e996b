//! The daemon's side of the child that looks into programs: it may hang, die or talk nonsense.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::resource::{Resource, setrlimit},
};

use super::NAME_MAX;
use super::child::{COMMAND, Request};

/// How long an answer may take. A container's file system may hold a reader up for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel's own symbols are many, and nobody's trap.
const KERNEL_PATIENCE: Duration = Duration::from_secs(60);
const MEMORY: u64 = 1 << 30;
/// A child without work goes: what it knows of files takes memory.
const IDLE: Duration = Duration::from_secs(10);
/// Likewise one that has seen many processes.
const REQUESTS: u32 = 1000;

#[derive(Debug, Default)]
pub struct Symbolizer {
    running: Option<Running>,
    /// Killed, and not yet gone.
    dying: Vec<Child>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    served: u32,
    last: Instant,
}

impl Symbolizer {
    /// A name for each address; an error says why the child did not survive the question.
    pub fn names(&mut self, request: &Request) -> io::Result<Vec<String>> {
        let patience = match request {
            Request::User { .. } => PATIENCE,
            Request::Kernel { .. } => KERNEL_PATIENCE,
        };
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start()?,
        };
        match running.ask(request, Instant::now() + patience) {
            Ok(names) if running.served < REQUESTS => {
                self.running = Some(running);
                Ok(names)
            }
            answer => {
                self.end(running);
                answer
            }
        }
    }

    /// Lets go of a child without work; whether there is one still.
    pub fn tidy(&mut self) -> bool {
        self.dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if let Some(running) = self.running.take_if(|r| r.last.elapsed() >= IDLE) {
            self.end(running);
        }
        self.running.is_some() || !self.dying.is_empty()
    }

    /// Waiting for one that hangs in a container's file system would hang, too.
    fn end(&mut self, mut running: Running) {
        let _ = running.child.kill();
        if matches!(running.child.try_wait(), Ok(None)) {
            self.dying.push(running.child);
        }
    }
}

impl Drop for Symbolizer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.end(running);
        }
    }
}

impl Running {
    fn start() -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(COMMAND).env_clear().current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: only system calls are made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?;
                setrlimit(Resource::RLIMIT_FSIZE, 0, 0)?;
                setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
                nix::sys::prctl::set_no_new_privs()?;
                Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?)
            });
        }
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let flags = OFlag::from_bits_retain(fcntl(&stdout, FcntlArg::F_GETFL)?);
        fcntl(&stdout, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { child, stdin, stdout, served: 0, last: Instant::now() })
    }

    fn ask(&mut self, request: &Request, deadline: Instant) -> io::Result<Vec<String>> {
        // The child has read all before: a pipe has room for a question.
        self.stdin.write_all(request.line().as_bytes())?;
        let wanted = request.addresses().len();
        let mut answer = Vec::new();
        let mut lines = 0;
        while lines < wanted {
            let from = answer.len();
            self.read(&mut answer, deadline)?;
            lines += answer[from..].iter().filter(|b| **b == b'\n').count();
            if answer.len() > wanted * (NAME_MAX + 1) {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        self.served += 1;
        self.last = Instant::now();
        let text = String::from_utf8(answer).map_err(|_| ErrorKind::InvalidData)?;
        Ok(text.lines().take(wanted).map(str::to_owned).collect())
    }

    /// Reads what there is, once there is some.
    fn read(&mut self, answer: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stdout.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    answer.extend_from_slice(&chunk[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)], wait) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
