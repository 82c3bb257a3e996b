//! Programs that bring a map up to date before it is read: `SEC("iter/bpf_map_elem")`, tagged with the map's name.

use std::{
    io::{self, ErrorKind, Read},
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use libbpf_rs::{Iter, Link, MapCore, Object};

/// The section of such programs.
pub const SECTION: &str = "iter/bpf_map_elem";
/// Readers that ask at once are answered with what one of them had brought up to date.
const OFTEN: Duration = Duration::from_millis(100);
/// How often the kernel may say that it has more to do; it does after a million entries.
const AGAIN: u32 = 64;

/// A program linked to its map. The link does nothing until it is run, and goes with the process.
#[derive(Debug)]
pub struct Refresh {
    pub program: String,
    link: Link,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    problem: Option<String>,
}

impl Refresh {
    pub fn new(object: &Object, program: &str, map: &str) -> Result<Self, String> {
        let prog = object.progs_mut().find(|p| p.name() == program);
        let prog = prog.ok_or_else(|| format!("no program {program}"))?;
        let map = object.maps().find(|m| m.name() == map).ok_or_else(|| format!("no map {map}"))?;
        let link = super::log::with_log(|| prog.attach_iter(map.as_fd()).map_err(|e| e.to_string()))?;
        Ok(Self { program: program.to_owned(), link, state: Mutex::default() })
    }

    /// Runs the program over the map, unless that has just been done. A failure is said once.
    pub fn run(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|t| t.elapsed() < OFTEN) {
            return;
        }
        let problem = self.walk().err().map(|e| e.to_string());
        state.last = Some(Instant::now());
        if let Some(why) = problem.as_ref().filter(|_| state.problem.is_none()) {
            tracing::warn!("failed to run program {}: {why}", self.program);
        }
        state.problem = problem;
    }

    /// Why the last run failed.
    pub fn problem(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    /// What the program prints, which is nothing as a rule, is read to its end.
    fn walk(&self) -> io::Result<()> {
        let mut iter = Iter::new(&self.link).map_err(io::Error::other)?;
        let mut sink = [0; 4096];
        let mut again = 0;
        loop {
            match iter.read(&mut sink) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock && again < AGAIN => again += 1,
                Err(e) => return Err(e),
            }
        }
    }
}
