//! Which process executed what, and which process made it: as their events say by `process.pid` and `process.parent_pid`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{at, text};

/// Processes kept apart.
const MOST: usize = 5000;
/// Programs that one process executed one after the other.
const COMMANDS: usize = 32;
/// Generations that are followed upwards.
const COPIES: usize = 1024;
/// How deep the tree is drawn: what is deeper stands beside its parent.
const DEPTH: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u64,
    /// When it first executed something, or ended without.
    pub time: String,
    /// What it executed, one after the other; none if it only was a copy of its parent.
    pub commands: Vec<Command>,
    /// What is told of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Map<String, Json>>,
    /// How many of its brothers did the same.
    pub times: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Process>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub executable: String,
    pub args: Vec<String>,
}

#[derive(Debug, Default)]
struct Node {
    process: Process,
    parent: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Processes {
    nodes: Vec<Node>,
    /// Those that live, by pid.
    alive: HashMap<u64, usize>,
    /// Those whose parent has not been seen to execute anything, by its pid.
    waiting: HashMap<u64, Vec<usize>>,
    more: u64,
}

impl Processes {
    pub fn executed(&mut self, event: &Json, time: String) {
        let (pid, parent_pid) = pids(event);
        let args = at(event, "process.command_args").and_then(Json::as_array);
        let args = args.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
        let command = Command { executable: text(event, "process.executable.path"), args };
        if let Some(node) = self.alive.get(&pid).map(|i| &mut self.nodes[*i]) {
            if node.process.commands.len() < COMMANDS {
                node.process.commands.push(command);
            }
            return;
        }
        self.add(pid, parent_pid, time, vec![command]);
    }

    pub fn ended(&mut self, event: &Json, name: &str, time: String) {
        let (pid, parent_pid) = pids(event);
        // A copy of its parent matters if others came of it.
        if !self.alive.contains_key(&pid) && self.waiting.contains_key(&pid) {
            let node = self.add(pid, parent_pid, time, Vec::new());
            for child in self.waiting.remove(&pid).into_iter().flatten().filter(|_| node.is_some()) {
                self.nodes[child].parent = node;
            }
        }
        if let Some(index) = self.alive.remove(&pid) {
            self.nodes[index].process.end = event.get(name).and_then(Json::as_object).cloned();
        }
    }

    fn add(&mut self, pid: u64, parent_pid: u64, time: String, commands: Vec<Command>) -> Option<usize> {
        if self.nodes.len() >= MOST {
            self.more += 1;
            return None;
        }
        let index = self.nodes.len();
        let parent = self.alive.get(&parent_pid).copied();
        if parent.is_none() {
            self.waiting.entry(parent_pid).or_default().push(index);
        }
        let process = Process { pid, time, commands, times: 1, ..Process::default() };
        self.nodes.push(Node { process, parent });
        self.alive.insert(pid, index);
        Some(index)
    }

    /// The tree, and how many processes are not in it.
    pub fn finish(mut self) -> (Vec<Process>, u64) {
        // A copy that lives on has told nothing of itself: its children stand beside those of nobody known.
        let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            // A pid that is used again could make a circle.
            let own = node.parent.filter(|p| *p != i && !self.is_above(i, *p));
            children.entry(own).or_default().push(i);
        }
        let roots = children.remove(&None).unwrap_or_default();
        let mut nodes: Vec<Option<Process>> = self.nodes.drain(..).map(|n| Some(n.process)).collect();
        (grow(&roots, &children, &mut nodes, 0), self.more)
    }

    /// Whether `above` is reached by going up from `from`.
    fn is_above(&self, above: usize, from: usize) -> bool {
        let mut at = Some(from);
        // Deeper than any tree is drawn: taken for a circle.
        for _ in 0..COPIES {
            match at {
                Some(i) if i == above => return true,
                Some(i) => at = self.nodes[i].parent,
                None => return false,
            }
        }
        true
    }
}

fn grow(
    these: &[usize],
    children: &BTreeMap<Option<usize>, Vec<usize>>,
    nodes: &mut Vec<Option<Process>>,
    depth: usize,
) -> Vec<Process> {
    let mut out: Vec<Process> = Vec::new();
    for index in these {
        let Some(mut process) = nodes[*index].take() else { continue };
        let below = children.get(&Some(*index)).map_or(&[][..], Vec::as_slice);
        let mut more = grow(below, children, nodes, depth + 1);
        if depth < DEPTH {
            process.children = std::mem::take(&mut more);
        }
        match out.last_mut().filter(|last| same(last, &process)) {
            Some(last) => last.times += 1,
            None => out.push(process),
        }
        out.append(&mut more);
    }
    out
}

/// Whether two brothers did the same, to the end.
fn same(a: &Process, b: &Process) -> bool {
    // But for how long it took: a number with a fraction.
    let end = |p: &Process| {
        let told = p.end.iter().flatten().filter(|(_, value)| !value.is_f64());
        told.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
    };
    a.children.is_empty() && b.children.is_empty() && a.commands == b.commands && end(a) == end(b)
}

fn pids(event: &Json) -> (u64, u64) {
    let number = |path| at(event, path).and_then(Json::as_u64).unwrap_or(0);
    (number("process.pid"), number("process.parent_pid"))
}
