//! From the state to an answer: builds the notice, sends it, and says what to do when that fails.

use crate::args::Args;
use crate::deadline::Deadline;
use crate::state::State;
use crate::{client, fit, proc, spool};
use remora_wire::{Ack, Bundle, Log, Namespaces, Notice, Stage, text, time};
use std::fmt;
use std::path::Path;

/// Why a container is not registered, as the clause of a sentence.
#[derive(Debug)]
pub enum Failure {
    /// There is nothing that could be told to the daemon.
    Unusable(String),
    Refused(String),
    /// Nobody answered; the notice can be told later.
    NoAnswer(String, Box<Notice>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(why) => f.write_str(why),
            Self::Refused(why) => write!(f, "the daemon refused it: {}", text::cut(why, 512)),
            Self::NoAnswer(why, _) => f.write_str(why),
        }
    }
}

impl Failure {
    /// Leaves behind what the daemon or a person needs to see the hole.
    pub fn settle(self, id: &str, spool: &Path, log: &Log) {
        let id = text::cut(id, 128);
        log.error(format_args!("failed to register container {id}: {self}"));
        let Self::NoAnswer(_, notice) = self else { return };
        if let Err(e) = spool::store(spool, &notice) {
            log.error(format_args!("failed to spool notice of container {id} in {}: {e}", spool.display()));
        }
    }
}

/// Tells the daemon and waits for it to have the container in scope.
pub fn register(
    args: &Args,
    stage: Stage,
    state: &State,
    bundle: Bundle,
    deadline: Deadline,
    log: &Log,
) -> Result<(), Failure> {
    let mut notice = notice(stage, state, bundle).map_err(Failure::Unusable)?;
    let frame = fit::encode(&mut notice)
        .map_err(|_| Failure::Unusable("its id and annotations are too large to be sent".to_owned()))?;
    match client::exchange(&args.socket, &frame, deadline) {
        Ok(Ack { ok: true, message }) => {
            if !message.is_empty() {
                let (id, message) = (text::cut(&notice.id, 128), text::cut(&message, 512));
                log.info(format_args!("registered container {id}: {message}"));
            }
            Ok(())
        }
        Ok(Ack { ok: false, message }) => Err(Failure::Refused(message)),
        Err(why) => Err(Failure::NoAnswer(why, Box::new(notice))),
    }
}

/// The same for a container that has not asked: the daemon may know that it is wanted all the same. Nothing is
/// said of one that is not, or about which nobody answers.
pub fn ask(args: &Args, stage: Stage, state: &State, bundle: Bundle, deadline: Deadline, log: &Log) {
    let Ok(mut notice) = notice(stage, state, bundle) else { return };
    let Ok(frame) = fit::encode(&mut notice) else { return };
    if let Ok(Ack { ok: true, message }) = client::exchange(&args.socket, &frame, deadline)
        && stage != Stage::Poststop
    {
        let (id, message) = (text::cut(&notice.id, 128), text::cut(&message, 512));
        log.info(format_args!("registered container {id}: {message}"));
    }
}

fn notice(stage: Stage, state: &State, bundle: Bundle) -> Result<Notice, String> {
    if state.id.is_empty() {
        return Err("the state has no id".to_owned());
    }
    let pid = init(stage, state)?;
    Ok(Notice {
        stage,
        id: state.id.clone(),
        pid,
        start_time: pid.and_then(proc::start_time),
        bundle: state.bundle.clone(),
        root: bundle.root.map(|root| root.to_string_lossy().into_owned()).unwrap_or_default(),
        annotations: bundle.annotations,
        truncated: false,
        namespaces: pid.map_or_else(Namespaces::default, Namespaces::of),
        runtime: proc::runtime(),
        at: time::unix_ns(),
    })
}

/// The pid of the init to register. At the end there is none: what a runtime may still say is stale.
fn init(stage: Stage, state: &State) -> Result<Option<u32>, String> {
    if stage == Stage::Poststop {
        return Ok(None);
    }
    if !matches!(state.status.as_str(), "creating" | "created" | "") {
        return Err(format!("its status is \"{}\", too late to be registered", text::cut(&state.status, 32)));
    }
    match state.pid {
        None => {
            Err("the state has no pid of the host's (is the hook configured as createRuntime?)".to_owned())
        }
        pid => Ok(pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &str, pid: Option<u32>) -> State {
        State { id: "c".into(), status: status.into(), pid, ..State::default() }
    }

    #[test]
    fn only_a_container_about_to_start_is_registered() {
        for (status, pid, usable) in [
            ("creating", Some(7), true),
            ("created", Some(7), true),
            ("", Some(7), true),
            ("creating", None, false),
            ("running", Some(7), false),
            ("stopped", Some(7), false),
        ] {
            for stage in [Stage::CreateRuntime, Stage::Prestart] {
                assert_eq!(init(stage, &state(status, pid)).is_ok(), usable, "{status} {pid:?}");
            }
        }
        assert_eq!(init(Stage::Poststop, &state("stopped", Some(7))), Ok(None));
    }

    #[test]
    fn a_state_without_id_names_no_container() {
        assert!(notice(Stage::CreateRuntime, &State::default(), Bundle::default()).is_err());
    }
}
