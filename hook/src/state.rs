//! The container's state, as the runtime writes it to the hook's standard input. Runtimes differ in what
//! they put in and leave out, so every field is optional and none is trusted.

use crate::deadline::Deadline;
use remora_wire::{Annotations, Fields, Stage};
use rustix::event::PollFlags;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Largest state that is read, in bytes.
pub const MAX_STATE: usize = 1 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    pub id: String,
    pub status: String,
    /// Init's pid as the host sees it. 0 and 1 are what hooks get that run inside the container's namespaces.
    pub pid: Option<u32>,
    /// Absolute path of the bundle, or empty.
    pub bundle: String,
    /// Absolute path of the root file system, which only crun tells, or empty.
    pub root: String,
    /// Nothing where the runtime (docker 20.10) leaves them out.
    pub annotations: Option<Annotations>,
}

impl State {
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let text = String::from_utf8_lossy(bytes);
        let fields = Fields::parse(&text)?;
        let string = |name| fields.get::<String>(name).unwrap_or_default();
        Ok(Self {
            id: string("id"),
            status: string("status"),
            pid: fields.get("pid").filter(|pid| (2..=i32::MAX as u32).contains(pid)),
            bundle: absolute(string("bundle")),
            root: absolute(string("root")),
            annotations: fields.strings("annotations"),
        })
    }

    /// The stage that the status speaks of.
    pub fn stage(&self) -> Option<Stage> {
        match self.status.as_str() {
            "creating" | "created" => Some(Stage::CreateRuntime),
            "stopped" => Some(Stage::Poststop),
            _ => None,
        }
    }
}

/// A relative path would be taken from the current folder, which is the bundle only by chance.
fn absolute(path: String) -> String {
    if Path::new(&path).is_absolute() { path } else { String::new() }
}

/// Reads to the end, or to the deadline: what has come by then may well be the whole state, written by a
/// runtime that forgot to close its end.
pub fn read(from: impl AsFd, deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 << 10);
    let mut chunk = [0; 8 << 10];
    while bytes.len() <= MAX_STATE {
        match read_some(&from, &mut chunk, deadline) {
            Ok([]) => return Ok(bytes),
            Ok(new) => bytes.extend_from_slice(new),
            Err(e) if e.kind() == io::ErrorKind::TimedOut && !bytes.is_empty() => return Ok(bytes),
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other(format!("larger than {MAX_STATE} bytes")))
}

fn read_some(from: impl AsFd, chunk: &mut [u8], deadline: Deadline) -> io::Result<&[u8]> {
    deadline.wait(&from, PollFlags::IN)?;
    let n = rustix::io::read(from, &mut *chunk)?;
    Ok(chunk.get(..n).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNC: &str = r#"{"ociVersion":"1.0.2-dev","id":"c1","status":"creating","pid":4711,
        "bundle":"/run/b","annotations":{"io.remora.trace":"exec"}}"#;

    #[test]
    fn a_state_of_runc() {
        let state = State::parse(RUNC.as_bytes()).unwrap();
        let annotations = Some(Annotations::from([("io.remora.trace".into(), "exec".into())]));
        assert_eq!((state.id.as_str(), state.pid, state.bundle.as_str()), ("c1", Some(4711), "/run/b"));
        assert_eq!((state.stage(), state.annotations), (Some(Stage::CreateRuntime), annotations));
    }

    #[test]
    fn fields_that_make_no_sense_count_as_absent() {
        for pid in ["0", "1", "-5", "4294967295", "2147483648", "1.5", "\"77\"", "null", "{}"] {
            let state = State::parse(format!(r#"{{"id":"c","pid":{pid}}}"#).as_bytes()).unwrap();
            assert_eq!(state, State { id: "c".into(), ..State::default() }, "{pid}");
        }
        let odd = r#"{"id":[],"status":7,"bundle":"relative","root":"rootfs","annotations":"x"}"#;
        assert_eq!(State::parse(odd.as_bytes()).unwrap(), State::default());
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["", "[]", "null", "7", "{", "{\"id\":\"c\"} x"] {
            assert!(State::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn neither_truncated_nor_mutated_states_cause_a_panic() {
        for end in 0..RUNC.len() {
            assert!(State::parse(&RUNC.as_bytes()[..end]).is_err(), "{end}");
        }
        // A linear congruential generator: the same mutations in every run.
        let mut seed = 1_u64;
        let mut next = move |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        let mut parsed = 0;
        for _ in 0..20_000 {
            let mut bytes = RUNC.as_bytes().to_vec();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            parsed +=
                usize::from(State::parse(&bytes).is_ok_and(|state| state.pid.is_none_or(|pid| pid > 1)));
        }
        assert!(parsed > 1000, "only {parsed} mutations parsed: the generator is off");
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_hides_other_fields() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let state =
            State::parse(format!(r#"{{"x":{deep},"id":"c","annotations":{deep}}}"#).as_bytes()).unwrap();
        assert_eq!(state, State { id: "c".into(), ..State::default() });
    }
}
