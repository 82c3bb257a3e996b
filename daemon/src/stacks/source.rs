//! A table with stacks that is watched: what its rows' ids lead to.

use std::{
    collections::{BTreeSet, HashSet},
    os::fd::AsFd,
    time::Duration,
};

use libbpf_rs::{MapCore, MapFlags};

use super::Stack;
use super::store::Program;
use crate::decode::value::unsigned;
use crate::metrics::map;
use crate::scope::map_id;
use crate::tracer::load::Table;
use crate::tracer::stack::StackPlan;

/// A program on another processor is done with a stack that it has just put down.
const PASS: Duration = Duration::from_millis(5);

#[derive(Debug, Clone)]
pub struct Source {
    pub table: Table,
    /// The kernel's number of the table's map, which may be handed on from object to object.
    pub id: u32,
    /// Its stacks may be of rows that are gone.
    pub stale: bool,
}

impl Source {
    pub fn new(table: Table) -> Self {
        let id = map_id(table.map.as_fd()).unwrap_or_default();
        Self { table, id, stale: true }
    }

    pub fn plan(&self) -> &StackPlan {
        self.table.plan.stacks.as_ref().expect("only tables with stacks are watched")
    }

    fn addresses(&self, id: i32) -> Option<Vec<u64>> {
        let bytes = self.table.stacks.as_ref()?.lookup(&id.to_ne_bytes(), MapFlags::ANY).ok()??;
        let all = bytes.chunks_exact(8).map(unsigned).take_while(|a| *a != 0);
        // But for the innermost, what is noted is where a call returns to: that may be the next function.
        Some(all.enumerate().map(|(i, a)| a - u64::from(i > 0)).collect())
    }

    pub fn program(&self, key: &[u8]) -> Option<Program> {
        let user = self.plan().user?;
        let pid = unsigned(&key[user.pid_at..user.pid_at + 4]) as u32;
        Some((pid, unsigned(&key[user.image_at..user.image_at + 8])))
    }

    pub fn user(&self, key: &[u8]) -> Found {
        self.plan().user.map_or(Found::None, |u| self.found(id_at(key, u.stack_at)))
    }

    pub fn kernel(&self, key: &[u8]) -> Found {
        self.plan().kernel_at.map_or(Found::None, |at| self.found(id_at(key, at)))
    }

    fn found(&self, id: i32) -> Found {
        match id {
            0.. => self.addresses(id).map_or(Found::Missing, Found::Addresses),
            id if id == -libc::EFAULT => Found::None,
            _ => Found::Lost,
        }
    }

    pub fn is_full(&self, keys: &BTreeSet<Vec<u8>>) -> bool {
        let stacks: HashSet<i32> = keys.iter().flat_map(|key| self.ids(key)).collect();
        let places = self.table.stacks.as_ref().map_or(0, |m| m.max_entries() as usize);
        // A stack's place is its hash: the more there are, the more find theirs taken.
        keys.len() > self.table.map.max_entries() as usize / 2 || stacks.len() > places / 32
    }

    /// Ids of stacks that a row has.
    fn ids(&self, key: &[u8]) -> impl Iterator<Item = i32> {
        let plan = self.plan();
        let places = [plan.user.map(|u| u.stack_at), plan.kernel_at];
        places.map(|at| at.map(|at| id_at(key, at))).into_iter().flatten().filter(|id| *id >= 0)
    }

    /// Removes stacks that no row of the tracer's tables has any more. A program may have found one at just that
    /// moment: its row then has none until it finds the same again.
    pub fn prune(&self, all: &[Self]) {
        let Some(stacks) = &self.table.stacks else { return };
        let there: HashSet<i32> = map::keys(stacks).iter().map(|key| id_at(key, 0)).collect();
        std::thread::sleep(PASS);
        let mut used = HashSet::new();
        for table in all.iter().filter(|s| s.table.plan.tracer == self.table.plan.tracer) {
            used.extend(map::keys(&table.table.map).iter().flat_map(|key| table.ids(key)));
        }
        there.difference(&used).for_each(|id| drop(stacks.delete(&id.to_ne_bytes())));
    }
}

/// What a stack's id leads to.
#[derive(Debug)]
pub enum Found {
    /// There was no such stack.
    None,
    /// The map had no room.
    Lost,
    /// Not there yet, or not any more.
    Missing,
    Addresses(Vec<u64>),
}

impl Found {
    pub fn named(self, lost: &Stack, name: impl FnOnce(Vec<u64>) -> Stack) -> Option<Stack> {
        match self {
            Self::None => None,
            Self::Addresses(addresses) => Some(name(addresses)),
            Self::Lost | Self::Missing => Some(lost.clone()),
        }
    }
}

fn id_at(key: &[u8], at: usize) -> i32 {
    unsigned(&key[at..at + 4]) as i32
}
