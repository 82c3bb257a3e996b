//! One process.

use std::sync::Arc;

use serde_json::Value;

use super::Serial;
use crate::alarm::Actor;
use crate::event::Event;

/// Bytes kept of an executable's path, arguments, and bytes of one.
const PATH: usize = 256;
const ARGS: usize = 16;
const ARG: usize = 128;

/// Where a process comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The container's first.
    Main,
    /// Another one of the container, which is known.
    Inside,
    /// Put into the container by somebody outside: a session, a probe.
    Outside,
    /// Its parent was not seen.
    Unknown,
}

/// The incident that a process has a part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub incident: u64,
    /// An alarm speaks of what it did itself.
    pub direct: bool,
}

#[derive(Debug, Clone)]
pub struct Process {
    pub container: Arc<str>,
    pub pid: u64,
    pub vpid: Option<u64>,
    pub parent: Option<Serial>,
    pub origin: Origin,
    /// Unix time in nanoseconds, as all here.
    pub began: u64,
    pub ended: Option<u64>,
    pub comm: Box<str>,
    /// What it executed last; "" if it only is a copy of its parent.
    pub executable: Box<str>,
    pub args: Box<[Box<str>]>,
    /// How many programs it has executed.
    pub programs: u32,
    /// What it executed last was a novelty.
    pub is_novel: bool,
    /// Who wrote the file that it executes.
    pub made_by: Vec<Serial>,
    pub mark: Option<Mark>,
    /// What it does is not learned until then.
    pub tainted: u64,
    /// Its place in the order of use.
    pub(super) used: u64,
}

fn cut(text: &str, most: usize) -> Box<str> {
    crate::shown::cut(text, most).into()
}

impl Process {
    pub(super) fn new(container: Arc<str>, pid: u64, event: &Event) -> Self {
        Self {
            container,
            pid,
            vpid: event.number("process.vpid"),
            parent: None,
            origin: Origin::Unknown,
            began: event.time(),
            ended: None,
            comm: cut(event.text("process.comm"), 64),
            executable: "".into(),
            args: [].into(),
            programs: 0,
            is_novel: false,
            made_by: Vec::new(),
            mark: None,
            tainted: 0,
            used: 0,
        }
    }

    pub(super) fn execute(&mut self, event: &Event) {
        self.executable = cut(event.text("process.executable.path"), PATH);
        let args = event.get("process.command_args").and_then(Value::as_array);
        let texts = args.into_iter().flatten().filter_map(Value::as_str);
        self.args = texts.take(ARGS).map(|arg| cut(arg, ARG)).collect();
        self.comm = cut(event.text("process.comm"), 64);
        self.made_by.clear();
        self.is_novel = false;
        self.programs = self.programs.saturating_add(1);
    }

    /// Whether it ever executed anything itself.
    pub fn executed(&self) -> bool {
        !self.executable.is_empty()
    }

    /// Its program's name; of a copy of its parent the thread's.
    pub fn name(&self) -> &str {
        match crate::shown::basename(&self.executable) {
            "" => &self.comm,
            name => name,
        }
    }

    /// As an alarm names it; the event knows better than what was kept.
    pub fn actor(&self, event: &Event) -> Actor {
        let or = |text: &str, kept: &str| if text.is_empty() { kept } else { text }.to_owned();
        let args = self.args.iter().map(|arg| arg.to_string()).collect();
        Actor {
            pid: self.pid,
            comm: or(event.text("process.comm"), &self.comm),
            executable: or(event.text("process.executable.path"), &self.executable),
            command_args: args,
        }
    }

    pub(super) fn memory(&self) -> usize {
        let args: usize = self.args.iter().map(|arg| arg.len() + 32).sum();
        // What stands for it in the tables that find it, too.
        size_of::<Self>() + self.comm.len() + self.executable.len() + args + self.made_by.len() * 8 + 160
    }
}
