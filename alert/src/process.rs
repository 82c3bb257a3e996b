//! Processes of containers, as their events tell of them: who made whom, what each executed last. Bounded: those that
//! ended, and those not heard of for longest, are forgotten first.

mod container;
mod lineage;
mod node;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::Event;
use crate::time::SECOND;

pub use container::{Container, subject};
pub use lineage::Lineage;
pub use node::{Mark, Origin, Process};

/// Of a process, never used twice: pids are.
pub type Serial = u64;

/// Containers told apart.
const CONTAINERS: usize = 1024;
/// Processes kept of one container, and of all.
const OF_ONE: usize = 512;
const OF_ALL: usize = 8192;
/// Events of a process may come so long after that of its end, from another processor.
const LATE: u64 = 2 * SECOND;

/// What an event is to the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Executed,
    Ended,
    Other,
}

impl Step {
    /// By the class that the tracer gives its event.
    pub fn of(class: &str) -> Self {
        match class {
            "executed" => Self::Executed,
            "ended" => Self::Ended,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Default)]
pub struct Processes {
    containers: BTreeMap<Arc<str>, Container>,
    processes: HashMap<Serial, Process>,
    /// Counts serials and uses.
    clock: u64,
    evicted_containers: u64,
    evicted_processes: u64,
    memory: usize,
}

impl Processes {
    /// Takes note of an event, and says whose it is, if it has a process.
    pub fn see(&mut self, event: &Event, step: Step) -> Option<Serial> {
        let id = self.container_of(event);
        let pid = event.pid()?;
        let serial = match self.known(&id, pid, event, step) {
            Some(serial) => serial,
            None => self.add(&id, pid, event, step),
        };
        self.change(&id, serial, |process| match step {
            Step::Executed => process.execute(event),
            Step::Ended => process.ended = Some(event.time()),
            Step::Other => {}
        });
        Some(serial)
    }

    fn container_of(&mut self, event: &Event) -> Arc<str> {
        if let Some(container) = self.containers.get_mut(event.container()) {
            container.last = container.last.max(event.time());
            return container.id.clone();
        }
        if self.containers.len() >= CONTAINERS {
            let oldest = self.containers.values().min_by_key(|c| (c.ended.is_none(), c.last));
            if let Some(id) = oldest.map(|c| c.id.clone()) {
                self.forget(&id);
                self.evicted_containers += 1;
            }
        }
        let container = Container::new(event);
        self.memory += container.memory();
        let id = container.id.clone();
        self.containers.insert(id.clone(), container);
        id
    }

    /// The process that has this pid now.
    fn known(&self, id: &str, pid: u64, event: &Event, step: Step) -> Option<Serial> {
        let serial = *self.containers.get(id)?.by_pid.get(&pid)?;
        let process = self.processes.get(&serial)?;
        let late = |ended| step != Step::Executed && event.time() <= ended + LATE;
        let vpid = event.number("process.vpid");
        let same = vpid.is_none() || process.vpid.is_none() || vpid == process.vpid;
        (same && process.ended.is_none_or(late)).then_some(serial)
    }

    fn add(&mut self, id: &Arc<str>, pid: u64, event: &Event, step: Step) -> Serial {
        let mut process = Process::new(id.clone(), pid, event);
        let by_pid = |pid: Option<u64>| {
            let pid = pid.filter(|parent| *parent != process.pid)?;
            self.containers
                .get(id)?
                .by_pid
                .get(&pid)
                .copied()
                .filter(|serial| self.processes.contains_key(serial))
        };
        process.parent = by_pid(event.parent_pid()).or_else(|| by_pid(event.ancestor_pid()));
        process.origin = self.origin(id, &process, step);
        self.make_room(id);
        self.clock += 1;
        let serial = self.clock;
        process.used = serial;
        self.memory += process.memory();
        if let Some(container) = self.containers.get_mut(id) {
            container.whole |= process.origin == Origin::Main && step == Step::Executed;
            container.by_pid.insert(pid, serial);
            container.order.insert((true, serial, serial));
        }
        self.processes.insert(serial, process);
        serial
    }

    fn origin(&self, id: &str, process: &Process, step: Step) -> Origin {
        let container = self.containers.get(id);
        let executed = step == Step::Executed;
        let first = executed && container.is_some_and(|c| c.by_pid.is_empty() && c.first == process.began);
        match (process.parent, process.vpid) {
            (Some(_), _) => Origin::Inside,
            (None, Some(1)) => Origin::Main,
            // In a pod whose containers share their processes, no container has a first one by number.
            (None, _) if first => Origin::Main,
            (None, _) if executed && container.is_some_and(|c| c.whole) => Origin::Outside,
            _ => Origin::Unknown,
        }
    }

    /// Changes a process, which is used by that.
    fn change(&mut self, id: &str, serial: Serial, how: impl FnOnce(&mut Process)) {
        let Some((process, container)) = self.processes.get_mut(&serial).zip(self.containers.get_mut(id))
        else {
            return;
        };
        self.clock += 1;
        container.order.remove(&(process.ended.is_none(), process.used, serial));
        self.memory -= process.memory();
        how(process);
        process.used = self.clock;
        self.memory += process.memory();
        container.order.insert((process.ended.is_none(), process.used, serial));
    }

    fn make_room(&mut self, id: &Arc<str>) {
        let of_one = self.containers.get(id).map_or(0, |c| c.order.len());
        if of_one >= OF_ONE {
            self.evict(&id.clone());
        } else if self.processes.len() >= OF_ALL {
            let largest = self.containers.values().max_by_key(|c| c.order.len()).map(|c| c.id.clone());
            if let Some(id) = largest {
                self.evict(&id);
            }
        }
    }

    /// Forgets the process of a container that matters least; its first one only if there is no other.
    fn evict(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let main = |(_, _, serial): &&(bool, u64, Serial)| {
            self.processes.get(serial).is_some_and(|p| p.origin != Origin::Main)
        };
        let least = container.order.iter().find(main).or_else(|| container.order.first()).copied();
        let Some(entry) = least else { return };
        container.order.remove(&entry);
        let Some(process) = self.processes.remove(&entry.2) else { return };
        self.memory -= process.memory();
        self.evicted_processes += 1;
        if container.by_pid.get(&process.pid) == Some(&entry.2) {
            container.by_pid.remove(&process.pid);
        }
    }

    /// Forgets a container and its processes.
    pub fn forget(&mut self, id: &str) {
        let Some(container) = self.containers.remove(id) else { return };
        self.memory -= container.memory();
        for (_, _, serial) in container.order {
            self.memory -= self.processes.remove(&serial).map_or(0, |process| process.memory());
        }
    }

    pub fn get(&self, serial: Serial) -> Option<&Process> {
        self.processes.get(&serial)
    }

    pub fn update(&mut self, serial: Serial, how: impl FnOnce(&mut Process)) {
        if let Some(id) = self.get(serial).map(|process| process.container.clone()) {
            self.change(&id, serial, how);
        }
    }

    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.get(id)
    }

    pub fn container_mut(&mut self, id: &str) -> Option<&mut Container> {
        self.containers.get_mut(id)
    }

    /// How many containers, and processes, were forgotten for want of room.
    pub fn evicted(&self) -> (u64, u64) {
        (self.evicted_containers, self.evicted_processes)
    }

    pub fn memory(&self) -> usize {
        self.memory
    }
}
