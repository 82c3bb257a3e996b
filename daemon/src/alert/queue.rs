//! What an output has not delivered yet, on disk too: the latest telling of each incident, so that an outage costs its earlier
//! ones alone. The file is a log of what came and went, written anew when most of it is void.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::tracer::keep::write;

/// For what waits; beyond it the oldest is dropped.
pub const ROOM: usize = 4 << 20;
/// What the file may have of what is void before it is written anew.
const SLACK: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The incident's.
    pub id: String,
    /// Whether the incident is over.
    pub over: bool,
    /// As the output sends it.
    pub body: String,
    /// Which telling it is, in this daemon.
    #[serde(skip)]
    pub number: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Put(Entry),
    Done(String),
}

#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    room: usize,
    number: u64,
    pub dropped: u64,
}

impl Queue {
    /// What an earlier daemon left is there again; a line that was cut off is not.
    pub fn open(path: &Path, room: usize) -> Self {
        let (entries, file) = (VecDeque::new(), None);
        let mut queue =
            Self { path: path.to_owned(), file, written: 0, entries, bytes: 0, room, number: 0, dropped: 0 };
        let text = fs::read(path).unwrap_or_default();
        for line in text.split(|b| *b == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Put(entry)) => queue.insert(entry),
                Ok(Line::Done(id)) => queue.remove(&id),
                Err(_) => {}
            }
        }
        queue.rewrite();
        queue
    }

    pub fn put(&mut self, id: &str, over: bool, body: String) {
        let entry = Entry { id: id.to_owned(), over, body, number: 0 };
        self.log(&Line::Put(entry.clone()));
        self.insert(entry);
        self.tidy();
    }

    /// It is delivered, or given up, unless it was told again meanwhile.
    pub fn done(&mut self, id: &str, number: u64) {
        if self.entries.iter().any(|e| e.id == id && e.number == number) {
            self.remove(id);
            self.log(&Line::Done(id.to_owned()));
            self.tidy();
        }
    }

    /// What waits, the oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, mut entry: Entry) {
        self.number += 1;
        entry.number = self.number;
        self.remove(&entry.id);
        self.bytes += size(&entry);
        self.entries.push_back(entry);
        while self.bytes > self.room && self.entries.len() > 1 {
            let Some(old) = self.entries.pop_front() else { break };
            self.bytes -= size(&old);
            self.dropped += 1;
            self.log(&Line::Done(old.id));
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(at) = self.entries.iter().position(|e| e.id == id) {
            self.bytes -= self.entries.remove(at).as_ref().map_or(0, size);
        }
    }

    /// Does nothing while what is there is read.
    fn log(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        match file.write_all(&text) {
            Ok(()) => self.written += text.len() as u64,
            Err(e) => tracing::warn!("failed to write {}: {e}", self.path.display()),
        }
    }

    fn tidy(&mut self) {
        if self.entries.is_empty() && self.written > 0 || self.written > 2 * self.bytes as u64 + SLACK {
            self.rewrite();
        }
    }

    fn rewrite(&mut self) {
        let mut text = Vec::new();
        for entry in &self.entries {
            let _ = serde_json::to_writer(&mut text, &Line::Put(entry.clone()));
            text.push(b'\n');
        }
        match self.renew(&text) {
            Ok(file) => (self.file, self.written) = (Some(file), text.len() as u64),
            Err(e) => tracing::warn!("failed to write {}: {e}", self.path.display()),
        }
    }

    fn renew(&self, text: &[u8]) -> io::Result<File> {
        write(&self.path, text)?;
        OpenOptions::new().append(true).mode(0o600).open(&self.path)
    }
}

fn size(entry: &Entry) -> usize {
    entry.id.len() + entry.body.len() + size_of::<Entry>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(queue: &Queue) -> Vec<&str> {
        queue.entries().map(|e| e.body.as_str()).collect()
    }

    #[test]
    fn what_waits_survives_and_only_the_latest_of_an_incident_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.queue");
        let mut queue = Queue::open(&path, ROOM);
        for (id, body) in [("i-1", "a"), ("i-2", "b"), ("i-3", "c\n\u{202e}"), ("i-1", "d")] {
            queue.put(id, false, body.to_owned());
        }
        let number = |queue: &Queue, id: &str| queue.entries().find(|e| e.id == id).unwrap().number;
        let old = number(&queue, "i-1");
        queue.put("i-1", true, "e".to_owned());
        queue.done("i-1", old);
        queue.done("i-2", number(&queue, "i-2"));
        assert_eq!(bodies(&queue), ["c\n\u{202e}", "e"]);
        drop(queue);
        // Killed while it wrote.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"put\":{\"id\":\"i-9").unwrap();
        let mut queue = Queue::open(&path, ROOM);
        assert_eq!(bodies(&queue), ["c\n\u{202e}", "e"]);
        for id in ["i-1", "i-3"] {
            queue.done(id, number(&queue, id));
        }
        assert_eq!((queue.bytes(), fs::metadata(&path).unwrap().len()), (0, 0));
    }

    #[test]
    fn beyond_its_room_the_oldest_goes_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.queue");
        let mut queue = Queue::open(&path, 10_000);
        for i in 0..1000 {
            queue.put(&format!("i-{i}"), false, "x".repeat(1000));
        }
        assert!(queue.bytes() <= 10_000 && queue.dropped == 1000 - queue.entries().count() as u64);
        assert_eq!(queue.entries().last().unwrap().id, "i-999");
        assert!(fs::metadata(&path).unwrap().len() < 200_000);
        let before: Vec<String> = queue.entries().map(|e| e.id.clone()).collect();
        let after: Vec<String> = Queue::open(&path, 10_000).entries().map(|e| e.id.clone()).collect();
        assert_eq!(after, before);
    }
}
