//! Processes, files and peers of an incident, and what was done to what: bounded, the first to come stay.

use super::acts::{Act, Acts};
use super::deed::Object;
use crate::process::{Lineage, Origin, Process, Processes, Serial};
use crate::shown;

/// With the containers that are drawn beside them 64.
pub const NODES: usize = 56;
pub const EDGES: usize = 128;
/// Ancestors drawn of a process.
const ANCESTORS: usize = 8;
/// Characters of a command.
const COMMAND: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Process {
        serial: Serial,
        parent: Option<Serial>,
        pid: u64,
        /// As it was typed, if it executed something.
        command: Box<str>,
        /// Somebody outside of the container began it.
        outside: bool,
    },
    File,
    Peer,
}

#[derive(Debug, Clone)]
pub struct Point {
    pub what: What,
    /// Number of its container in the incident; peers have none of their own.
    pub container: usize,
    pub label: Box<str>,
    pub first: u64,
    pub alarmed: bool,
    /// How many programs a process had executed when it was drawn: then its label is another.
    pub programs: u32,
    /// Of what it did, this and what follows is not drawn yet.
    pub undrawn: u64,
}

#[derive(Debug, Clone)]
pub struct Tie {
    pub from: usize,
    pub to: usize,
    pub kind: Box<str>,
    pub failed: bool,
    pub count: u64,
    pub first: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Story {
    pub points: Vec<Point>,
    pub ties: Vec<Tie>,
    pub left_out: u64,
}

impl Story {
    /// A process with those that it descends from, down from where the container's own work begins.
    pub fn process(&mut self, all: &Processes, container: usize, lineage: &Lineage) -> Option<usize> {
        let line = lineage.apart.iter().copied().take(ANCESTORS - 1).chain(lineage.base);
        let line: Vec<Serial> = line.collect();
        let at = line.iter().rev().map(|serial| self.one(all, container, *serial)).collect::<Vec<_>>();
        at.last().copied().flatten()
    }

    /// A process alone.
    fn one(&mut self, all: &Processes, container: usize, serial: Serial) -> Option<usize> {
        let process = all.get(serial)?;
        let known = self.find(serial);
        if let Some(at) = known.filter(|at| self.points[*at].programs == process.programs) {
            return Some(at);
        }
        if known.is_none() && self.points.len() >= NODES {
            self.left_out += 1;
            return None;
        }
        let outside = process.origin == Origin::Outside;
        let (parent, pid) = (process.parent, process.pid);
        let what = What::Process { serial, parent, pid, command: command(process), outside };
        let label: Box<str> = shown::word(process.name(), 40).into();
        let programs = process.programs;
        if let Some(at) = known {
            let point = &mut self.points[at];
            (point.what, point.label, point.programs) = (what, label, programs);
            return known;
        }
        self.add(Point { what, container, label, first: process.began, alarmed: false, undrawn: 0, programs })
    }

    fn add(&mut self, point: Point) -> Option<usize> {
        if self.points.len() >= NODES {
            self.left_out += 1;
            return None;
        }
        self.points.push(point);
        Some(self.points.len() - 1)
    }

    pub fn find(&self, serial: Serial) -> Option<usize> {
        self.points.iter().position(|p| matches!(p.what, What::Process { serial: s, .. } if s == serial))
    }

    fn object(&mut self, container: usize, object: &Object, time: u64) -> Option<usize> {
        let (what, label) = match object {
            Object::Nothing => return None,
            Object::File(path) => (What::File, path),
            Object::Peer(name) => (What::Peer, name),
        };
        let same = |p: &Point| {
            p.what == what && p.label == *label && (p.container == container || what == What::Peer)
        };
        match self.points.iter().position(same) {
            Some(at) => Some(at),
            None => self.add(Point {
                what,
                container,
                label: label.clone(),
                first: time,
                alarmed: false,
                undrawn: 0,
                programs: 0,
            }),
        }
    }

    /// Draws what a process did since it was last looked at.
    pub fn catch_up(&mut self, at: usize, serial: Serial, acts: &Acts) {
        for act in acts.of(serial, self.points[at].undrawn) {
            self.act(at, act);
        }
        self.points[at].undrawn = acts.next();
    }

    /// What a process did, and to what.
    fn act(&mut self, from: usize, act: &Act) -> Option<usize> {
        let container = self.points[from].container;
        // A program's own file is told of with the process, unless it matters who made it.
        if &*act.kind == "executed" && !self.has_file(container, &act.object) {
            return None;
        }
        let to = self.object(container, &act.object, act.time)?;
        self.tie(from, to, act);
        Some(to)
    }

    /// What an alarm speaks of.
    pub fn alarmed(&mut self, from: usize, act: &Act) {
        self.points[from].alarmed = true;
        if let Some(to) = self.act(from, act) {
            self.points[to].alarmed = true;
        }
    }

    fn has_file(&self, container: usize, object: &Object) -> bool {
        let Object::File(path) = object else { return false };
        self.points.iter().any(|p| p.what == What::File && p.container == container && p.label == *path)
    }

    pub fn tie(&mut self, from: usize, to: usize, act: &Act) {
        let same = |t: &&mut Tie| (t.from, t.to, &t.kind, t.failed) == (from, to, &act.kind, act.failed);
        if let Some(tie) = self.ties.iter_mut().find(same) {
            tie.count += act.count;
        } else if self.ties.len() < EDGES {
            let (kind, failed, count, first) = (act.kind.clone(), act.failed, act.count, act.time);
            self.ties.push(Tie { from, to, kind, failed, count, first });
        } else {
            self.left_out += 1;
        }
    }

    /// The same way found again is not another one.
    pub fn tie_once(&mut self, from: usize, to: usize, act: &Act) {
        if !self.ties.iter().any(|tie| (tie.from, tie.to, &tie.kind) == (from, to, &act.kind)) {
            self.tie(from, to, act);
        }
    }

    /// Takes another's in, whose containers have these numbers here.
    pub fn merge(&mut self, other: Self, containers: &[usize]) {
        let mut now = Vec::with_capacity(other.points.len());
        for mut point in other.points {
            point.container = containers.get(point.container).copied().unwrap_or(0);
            now.push(self.same(&point).or_else(|| self.add(point)));
        }
        for tie in other.ties {
            if let (Some(from), Some(to)) = (now[tie.from], now[tie.to]) {
                let act = Act {
                    kind: tie.kind,
                    object: Object::Nothing,
                    failed: tie.failed,
                    time: tie.first,
                    count: tie.count,
                };
                self.tie(from, to, &act);
            }
        }
        self.left_out += other.left_out;
    }

    fn same(&mut self, point: &Point) -> Option<usize> {
        let at = match point.what {
            What::Process { serial, .. } => self.find(serial),
            _ => self.points.iter().position(|p| {
                (&p.what, p.container, &p.label) == (&point.what, point.container, &point.label)
            }),
        }?;
        self.points[at].alarmed |= point.alarmed;
        Some(at)
    }

    pub fn serials(&self) -> impl Iterator<Item = Serial> {
        self.points.iter().filter_map(|p| match p.what {
            What::Process { serial, .. } => Some(serial),
            _ => None,
        })
    }

    /// Where a process's parent stands.
    pub fn parent(&self, at: usize) -> Option<usize> {
        match self.points[at].what {
            What::Process { parent: Some(parent), .. } => self.find(parent),
            _ => None,
        }
    }

    pub fn memory(&self) -> usize {
        let command = |what: &What| if let What::Process { command, .. } = what { command.len() } else { 0 };
        let points = self.points.iter().map(|p| size_of::<Point>() + p.label.len() + command(&p.what) + 32);
        points.sum::<usize>() + self.ties.iter().map(|t| size_of::<Tie>() + t.kind.len() + 16).sum::<usize>()
    }
}

fn command(process: &Process) -> Box<str> {
    match process.executed() {
        true if process.args.is_empty() => shown::word(&process.executable, COMMAND).into(),
        true => shown::command(&process.args, COMMAND).into(),
        false => "".into(),
    }
}
