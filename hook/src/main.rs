//! `remora-hook`: what a container runtime calls before a container's first instruction and after its last.
//! It tells the daemon, waits for the answer within its budget, and lets the container start whatever
//! happens, unless that container asked not to be started untraced.

mod args;
mod client;
mod deadline;
mod fit;
mod guard;
mod proc;
mod register;
mod spool;
mod state;

use args::Args;
use deadline::Deadline;
use register::Failure;
use remora_wire::{Bundle, KEY_REQUIRED, Log, Stage, is_required, opts_in, text};
use state::State;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

const TAG: &str = "remora-hook";

fn main() -> ExitCode {
    let args = Args::parse(std::env::args_os().skip(1));
    if let Some(answer) = args.answer {
        let _ = io::stdout().write_all(answer.as_bytes());
        return ExitCode::SUCCESS;
    }
    guard::install(Log::new(TAG, args.log.clone()));
    run(&args, &Log::new(TAG, args.log.clone()), Deadline::after(args.budget))
}

fn run(args: &Args, log: &Log, deadline: Deadline) -> ExitCode {
    let mut state = match read_state(deadline) {
        Ok(state) => state,
        Err(e) => {
            log.error(format_args!("{e}; the container goes on, traced only if the daemon finds it"));
            return ExitCode::SUCCESS;
        }
    };
    let stage = args.stage.or_else(|| state.stage());
    let Some(bundle) = configuration(&mut state, stage, log) else {
        if args.ask.exists() {
            ask(args, stage, &state, deadline, log);
        }
        return ExitCode::SUCCESS;
    };
    args.complaints.iter().for_each(|complaint| log.warn(complaint));
    let Some(stage) = stage else {
        let (id, status) = (text::cut(&state.id, 128), text::cut(&state.status, 32));
        log.warn(format_args!("ignored container {id}: no stage of ours has the status \"{status}\""));
        return ExitCode::SUCCESS;
    };
    let required = stage != Stage::Poststop && is_required(&bundle.annotations);
    if required {
        guard::fail_closed();
    }
    match register::register(args, stage, &state, bundle, deadline, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if required => refuse(&state.id, &failure, log),
        Err(failure) => {
            failure.settle(&state.id, &args.spool, log);
            ExitCode::SUCCESS
        }
    }
}

/// The daemon knows whether a container is wanted that does not ask by itself. Most are not, so whatever comes of
/// it, nothing is kept and nothing fails.
fn ask(args: &Args, stage: Option<Stage>, state: &State, deadline: Deadline, log: &Log) {
    let annotations = state.annotations.clone().unwrap_or_default();
    let bundle = Bundle { annotations, root: None };
    if let Some(stage) = stage {
        register::ask(args, stage, state, bundle, deadline, log);
    }
}

fn read_state(deadline: Deadline) -> Result<State, String> {
    let bytes = state::read(io::stdin(), deadline).map_err(|e| format!("failed to read state: {e}"))?;
    State::parse(&bytes).map_err(|e| format!("failed to parse state of {} bytes: {e}", bytes.len()))
}

/// What is known of the container's configuration, if it asks for tracing. For one that does not, a state
/// with annotations settles it without touching a single file; those of the bundle are left in the state.
fn configuration(state: &mut State, stage: Option<Stage>, log: &Log) -> Option<Bundle> {
    if state.annotations.as_ref().is_some_and(|annotations| !opts_in(annotations)) {
        return None;
    }
    let known = state.annotations.take();
    let mut bundle = match (&known, state.root.is_empty()) {
        (Some(_), false) => Bundle { root: Some((&state.root).into()), ..Bundle::default() },
        _ => read_bundle(state, stage, log),
    };
    if let Some(annotations) = known {
        bundle.annotations = annotations;
    }
    if opts_in(&bundle.annotations) {
        return Some(bundle);
    }
    state.annotations = Some(bundle.annotations);
    None
}

fn read_bundle(state: &State, stage: Option<Stage>, log: &Log) -> Bundle {
    let read = match state.bundle.as_str() {
        "" => Err("the state names no absolute bundle".to_owned()),
        dir => Bundle::read(Path::new(dir)).map_err(|e| e.to_string()),
    };
    read.unwrap_or_else(|e| {
        // At the end the bundle is often gone already.
        if stage != Some(Stage::Poststop) {
            log.warn(format_args!("container {}: {e}", text::cut(&state.id, 128)));
        }
        Bundle::default()
    })
}

/// Ends the start of a container that must not run untraced, in words for whoever started it.
fn refuse(id: &str, failure: &Failure, log: &Log) -> ExitCode {
    let id = text::cut(id, 128);
    let sentence = format!(
        "container {id} was not started, because it must not run untraced ({KEY_REQUIRED} is \"true\") and {failure}: \
         see `systemctl status remora`, or start it without that annotation"
    );
    log.error(&sentence);
    let _ = writeln!(io::stderr(), "{TAG}: {}", text::printable(&sentence, 2000));
    ExitCode::FAILURE
}
