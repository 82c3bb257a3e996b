//! What ties processes together that no common ancestor does: a file that one left and another took up, a connection
//! between two containers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::deed::{Deed, Endpoint, Object};
use crate::bounded::Bounded;
use crate::process::Serial;
use crate::time::SECOND;

/// Files kept of all containers.
const FILES: usize = 4096;
/// Of longer paths nothing is kept.
const PATH: usize = 256;
/// Who had a hand in one file.
const HANDS: usize = 3;
/// Ends of connections whose other end is not known yet, and connections whose ends both are.
const ENDS: usize = 2048;
const CONNECTIONS: usize = 1024;
/// Both ends of a connection are told of within so long.
const SAME: u64 = 60 * SECOND;
/// How long what came by a connection may be said to have come by it.
const REACH: u64 = 300 * SECOND;

#[derive(Debug, Clone)]
pub struct Connection {
    pub time: u64,
    pub client: Serial,
    pub server: Serial,
    pub server_container: Arc<str>,
}

fn is_long(object: &Object) -> bool {
    matches!(object, Object::File(path) if path.len() > PATH)
}

#[derive(Debug, Clone)]
struct End {
    container: Arc<str>,
    serial: Serial,
    time: u64,
    is_client: bool,
}

#[derive(Debug)]
pub struct Links {
    files: Bounded<(Arc<str>, Box<str>), Vec<Serial>>,
    ends: Bounded<Endpoint, End>,
    connections: VecDeque<Connection>,
    evicted_connections: u64,
}

impl Default for Links {
    fn default() -> Self {
        let (files, ends) = (Bounded::new(FILES), Bounded::new(ENDS));
        Self { files, ends, connections: VecDeque::new(), evicted_connections: 0 }
    }
}

impl Links {
    /// Takes note of what a process did.
    pub fn note(&mut self, container: &Arc<str>, serial: Serial, deed: &Deed, time: u64) {
        if let (true, Object::File(path)) = (deed.leaves && !is_long(&deed.object), &deed.object) {
            let hands = self.files.entry(&(container.clone(), path.clone()), Vec::new);
            hands.retain(|hand| *hand != serial);
            hands.truncate(HANDS - 1);
            hands.insert(0, serial);
        }
        if let Some((endpoint, is_client)) = deed.client.filter(|_| !deed.failed) {
            self.end(endpoint, End { container: container.clone(), serial, time, is_client });
        }
    }

    fn end(&mut self, endpoint: Endpoint, end: End) {
        let other = self.ends.get(&endpoint).filter(|other| {
            other.is_client != end.is_client
                && other.container != end.container
                && end.time.abs_diff(other.time) <= SAME
        });
        let Some(other) = other.cloned() else {
            let kept = end.clone();
            *self.ends.entry(&endpoint, || kept) = end;
            return;
        };
        self.ends.remove(&endpoint);
        if self.connections.len() >= CONNECTIONS {
            self.connections.pop_front();
            self.evicted_connections += 1;
        }
        let time = end.time.min(other.time);
        let (client, server) = if end.is_client { (end, other) } else { (other, end) };
        self.connections.push_back(Connection {
            time,
            client: client.serial,
            server: server.serial,
            server_container: server.container,
        });
    }

    /// Who had a hand in a file, the latest first.
    pub fn hands(&self, container: &Arc<str>, path: &str) -> &[Serial] {
        self.files.get(&(container.clone(), path.into())).map_or(&[], Vec::as_slice)
    }

    /// Connections not longer ago than matters, the latest first.
    pub fn connections(&self, now: u64) -> impl Iterator<Item = &Connection> {
        self.connections.iter().rev().take_while(move |c| c.time + REACH >= now)
    }

    pub fn evicted(&self) -> [(&'static str, u64); 3] {
        [
            ("files", self.files.evicted()),
            ("connection_ends", self.ends.evicted()),
            ("connections", self.evicted_connections),
        ]
    }

    pub fn memory(&self) -> usize {
        // Each path is in the table and in its order of use; most are short.
        let file = 2 * 64 + HANDS * 8 + 160;
        self.files.len() * file + self.ends.len() * 220 + self.connections.len() * size_of::<Connection>()
    }
}
