//! Stacks of tables: their addresses become names while the processes they belong to are still there, on a thread of
//! its own, by a child that may die of what it reads. What the kernel's maps have no more room for is kept here.

pub mod child;
mod keep;
pub mod profile;
mod source;
mod store;
mod symbolizer;
mod watcher;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::metrics::tables::Rows;
use crate::scope::abi::Container;
use crate::scope::mapped::Mapped;
use crate::tracer::load::Table;
use profile::Profile;
use watcher::Watcher;

/// Longest name of a function, in bytes.
pub const NAME_MAX: usize = 512;
/// A function that has no name.
pub const UNKNOWN: &str = "[unknown]";
/// A stack that the tracer's map had no room for.
pub const LOST: &str = "[lost]";

const LEAVING: Duration = Duration::from_secs(2);

/// Functions, the outermost first.
pub type Stack = Arc<[Arc<str>]>;

/// The stacks of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stacks {
    pub user: Option<Stack>,
    pub kernel: Option<Stack>,
}

#[derive(Debug)]
enum Message {
    /// These tables are in use, and no others.
    Watch(Vec<Table>),
    /// A container has ended, and left these rows; its stacks may be asked for until then.
    Ended {
        root: u64,
        left: Vec<(Table, Rows)>,
        until: Instant,
    },
    Profile {
        table: String,
        root: u64,
        index: Option<u32>,
        reply: oneshot::Sender<Option<Profile>>,
    },
    Rows {
        table: Table,
        root: u64,
        rows: Rows,
        reply: oneshot::Sender<Vec<Stacks>>,
    },
    /// The daemon stops: what is known is left to the next one.
    Leave(mpsc::Sender<()>),
}

#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Message>);

impl Handle {
    /// Starts the thread, with what an earlier daemon left in the file; it ends with the last handle.
    pub fn start(places: Arc<Mapped<Container>>, file: PathBuf, boot: &str) -> io::Result<Self> {
        let (queue, messages) = mpsc::channel();
        let thread = std::thread::Builder::new().name("stacks".into()).stack_size(512 << 10);
        let watcher = Watcher::new(places, file, boot.to_owned());
        thread.spawn(move || watcher.run(&messages))?;
        Ok(Self(queue))
    }

    /// What a container's stacks of a table say so far; None: nothing is known of them.
    pub async fn profile(&self, table: &str, root: u64, index: Option<u32>) -> Option<Profile> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Profile { table: table.to_owned(), root, index, reply }).ok()?;
        answer.await.ok()?
    }

    /// The stacks of a container's rows.
    pub async fn of_rows(&self, table: Table, root: u64, rows: Rows) -> Vec<Stacks> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::Rows { table, root, rows, reply });
        answer.await.unwrap_or_default()
    }
}

/// The registry's side: which tables are in use, and who has ended.
#[derive(Debug)]
pub struct Minder {
    handle: Handle,
    watched: Vec<Table>,
    linger: Duration,
}

impl Minder {
    pub fn new(handle: Handle, linger: Duration) -> Self {
        Self { handle, watched: Vec::new(), linger }
    }

    /// These tables are in use.
    pub fn watch(&mut self, tables: Vec<Table>) {
        let is_same = |(a, b): (&Table, &Table)| Arc::ptr_eq(&a.map, &b.map);
        if tables.len() == self.watched.len() && tables.iter().zip(&self.watched).all(is_same) {
            return;
        }
        self.watched.clone_from(&tables);
        let _ = self.handle.0.send(Message::Watch(tables));
    }

    /// A container has ended, and left these rows.
    pub fn ended(&self, root: u64, left: Vec<(Table, Rows)>) {
        if !left.is_empty() {
            let until = Instant::now() + self.linger;
            let _ = self.handle.0.send(Message::Ended { root, left, until });
        }
    }

    /// The daemon stops.
    pub fn leave(&self) {
        let (done, left) = mpsc::channel();
        if self.handle.0.send(Message::Leave(done)).is_ok() {
            // A container that holds the thread up does not hold the daemon up.
            let _ = left.recv_timeout(LEAVING);
        }
    }
}
