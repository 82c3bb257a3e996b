//! What is kept of one behaviour: how often, when, and which replicas do it.

use crate::time::SECOND;

/// Containers by 16 bits of their ids' hash: enough to tell those of one image apart.
pub type Who = u16;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Sorted.
    known: [Who; 8],
    len: u8,
}

impl Replicas {
    pub const MAX: usize = 8;

    /// Whether it is new. Those beyond the eighth are not told apart.
    pub fn add(&mut self, who: Who) -> bool {
        let Err(at) = self.known[..self.len()].binary_search(&who) else { return false };
        if self.len() == Self::MAX {
            return false;
        }
        self.known[at..].rotate_right(1);
        self.known[at] = who;
        self.len += 1;
        true
    }

    pub fn has(&self, who: Who) -> bool {
        self.known[..self.len()].binary_search(&who).is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    pub fn iter(&self) -> impl Iterator<Item = Who> {
        self.known[..self.len()].iter().copied()
    }
}

/// Times in seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    pub count: u32,
    pub first: u32,
    pub last: u32,
    pub replicas: Replicas,
}

impl Entry {
    pub fn saw(&mut self, who: Who, time: u64) {
        let time = seconds(time);
        if self.count == 0 {
            self.first = time;
        }
        self.count = self.count.saturating_add(1);
        self.last = self.last.max(time);
        self.replicas.add(who);
    }

    pub fn add(&mut self, other: &Self) {
        self.first = if self.count == 0 { other.first } else { self.first.min(other.first) };
        self.count = self.count.saturating_add(other.count);
        self.last = self.last.max(other.last);
        other.replicas.iter().for_each(|who| {
            self.replicas.add(who);
        });
    }
}

pub fn seconds(time: u64) -> u32 {
    u32::try_from(time / SECOND).unwrap_or(u32::MAX)
}
