//! Programs that bring a tracer's maps up to date before they are read: `SEC("iter/bpf_map_elem")`, each tagged with
//! the name of the map it is run over, and run one after the other in the order of the file.

use std::{
    io::{self, ErrorKind, Read},
    os::fd::AsFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use libbpf_rs::{Iter, Link, MapCore, Object};

/// The section of such programs.
pub const SECTION: &str = "iter/bpf_map_elem";
/// Readers that ask at once are answered with what one of them had brought up to date.
const OFTEN: Duration = Duration::from_millis(100);
/// How often the kernel may say that it has more to do; it does after a million entries.
const AGAIN: u32 = 64;

/// A tracer's programs, linked to their maps. The links do nothing until they are run, and go with the process.
#[derive(Debug, Default)]
pub struct Refreshes {
    programs: Vec<(String, Link)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    /// Programs that failed, and why.
    problems: Vec<(String, String)>,
}

impl Refreshes {
    pub fn add(&mut self, object: &Object, program: &str, map: &str) -> Result<(), String> {
        let prog = object.progs_mut().find(|p| p.name() == program);
        let prog = prog.ok_or_else(|| format!("no program {program}"))?;
        let map = object.maps().find(|m| m.name() == map).ok_or_else(|| format!("no map {map}"))?;
        let link = super::log::with_log(|| prog.attach_iter(map.as_fd()).map_err(|e| e.to_string()))?;
        self.programs.push((program.to_owned(), link));
        Ok(())
    }

    /// Runs the programs, unless that has just been done. No two readers run them at a time: what is counted over
    /// several passes stays whole. A failure is said once.
    pub fn run(&self) {
        let mut state = self.lock();
        if self.programs.is_empty() || state.last.is_some_and(|t| t.elapsed() < OFTEN) {
            return;
        }
        let failed = |(name, link): &(String, Link)| Some((name.clone(), walk(link).err()?.to_string()));
        let problems: Vec<_> = self.programs.iter().filter_map(failed).collect();
        for (name, why) in problems.iter().filter(|(n, _)| state.problems.iter().all(|(m, _)| m != n)) {
            tracing::warn!("failed to run program {name}: {why}");
        }
        *state = State { last: Some(Instant::now()), problems };
    }

    /// Programs whose last run failed, and why.
    pub fn problems(&self) -> Vec<(String, String)> {
        self.lock().problems.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the program prints, which is nothing as a rule, is read to its end.
fn walk(link: &Link) -> io::Result<()> {
    let mut iter = Iter::new(link).map_err(io::Error::other)?;
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
