//! What an output has not delivered yet, on disk: the latest telling of each incident, so that an outage costs its earlier
//! ones alone, and no memory. The file is a log of what came and went, written anew when most of it is void.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// For what waits; beyond it the oldest is dropped.
pub const ROOM: usize = 4 << 20;
/// What the file may have of what is void before it is written anew.
const SLACK: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub head: Head,
    /// As the output sends it.
    pub body: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The incident's.
    pub id: String,
    /// Whether the incident is over.
    pub over: bool,
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
struct Slot {
    head: Head,
    len: usize,
    line: Place,
}

/// Where its line is.
#[derive(Debug)]
enum Place {
    /// In the file, from there on.
    Disk(u64),
    /// The disk is full, or gone.
    Memory(Vec<u8>),
}

#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    slots: VecDeque<Slot>,
    bytes: usize,
    room: usize,
    number: u64,
    pub dropped: u64,
}

impl Queue {
    /// What an earlier daemon left is there again; a line that was cut off is not.
    pub fn open(path: &Path, room: usize) -> Self {
        let (slots, file) = (VecDeque::new(), None);
        let mut queue =
            Self { path: path.to_owned(), file, written: 0, slots, bytes: 0, room, number: 0, dropped: 0 };
        if let Ok(file) = File::open(path) {
            queue.recover(&file);
            queue.file = Some(file);
        }
        queue.rewrite();
        queue
    }

    fn recover(&mut self, file: &File) {
        let (mut reader, mut line, mut at) = (BufReader::new(file), Vec::new(), 0);
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            match serde_json::from_slice(&line) {
                Ok(Line::Put(entry)) => self.insert(entry.head, line.len(), Place::Disk(at)),
                Ok(Line::Done(id)) => self.remove(&id),
                Err(_) => {}
            }
            at += line.len() as u64;
            line.clear();
        }
    }

    pub fn put(&mut self, id: &str, over: bool, body: String) {
        let head = Head { id: id.to_owned(), over, number: 0 };
        let (line, len) = line(&Line::Put(Entry { head: head.clone(), body }));
        let at = self.written;
        let place = if self.log(&line) { Place::Disk(at) } else { Place::Memory(line) };
        self.insert(head, len, place);
        self.tidy();
    }

    /// It is delivered, or given up, unless it was told again meanwhile.
    pub fn done(&mut self, head: &Head) {
        if self.slots.iter().any(|s| s.head == *head) {
            self.remove(&head.id);
            self.log(&line(&Line::Done(head.id.clone())).0);
            self.tidy();
        }
    }

    /// What waits, the oldest first.
    pub fn heads(&self) -> Vec<Head> {
        self.slots.iter().map(|slot| slot.head.clone()).collect()
    }

    /// The first of what waits, but no more bytes than these unless the first alone has more.
    pub fn first(&self, most: usize, bytes: usize) -> Vec<Entry> {
        let mut sum = 0;
        let fits = |slot: &&Slot| {
            let is_first = sum == 0;
            sum += slot.len;
            is_first || sum <= bytes
        };
        self.slots.iter().take(most).take_while(fits).filter_map(|slot| self.read(slot)).collect()
    }

    /// Of these, what still waits as it was.
    pub fn of(&self, heads: &[Head]) -> Vec<Entry> {
        let slots = self.slots.iter().filter(|slot| heads.contains(&slot.head));
        slots.filter_map(|slot| self.read(slot)).collect()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn line(&self, slot: &Slot) -> io::Result<Vec<u8>> {
        match (&slot.line, &self.file) {
            (Place::Memory(line), _) => Ok(line.clone()),
            (Place::Disk(at), Some(file)) => {
                let mut line = vec![0; slot.len];
                file.read_exact_at(&mut line, *at).map(|()| line)
            }
            (Place::Disk(_), None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// What cannot be read any more is sent as nothing, and so given up.
    fn read(&self, slot: &Slot) -> Option<Entry> {
        match self.line(slot).map(|line| serde_json::from_slice(&line)) {
            Ok(Ok(Line::Put(Entry { body, .. }))) => Some(Entry { head: slot.head.clone(), body }),
            other => {
                tracing::warn!("failed to read {} again: {other:?}", self.path.display());
                None
            }
        }
    }

    fn insert(&mut self, mut head: Head, len: usize, line: Place) {
        self.number += 1;
        head.number = self.number;
        self.remove(&head.id);
        self.bytes += len;
        self.slots.push_back(Slot { head, len, line });
        while self.bytes > self.room && self.slots.len() > 1 {
            let Some(old) = self.slots.pop_front() else { break };
            self.bytes -= old.len;
            self.dropped += 1;
            self.log(&self::line(&Line::Done(old.head.id)).0);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(at) = self.slots.iter().position(|s| s.head.id == id) {
            self.bytes -= self.slots.remove(at).map_or(0, |slot| slot.len);
        }
    }

    /// Whether it is on disk.
    fn log(&mut self, line: &[u8]) -> bool {
        let Some(file) = &self.file else { return false };
        match file.write_all_at(line, self.written) {
            Ok(()) => {
                self.written += line.len() as u64;
                true
            }
            Err(e) => {
                tracing::warn!("failed to write {}: {e}", self.path.display());
                false
            }
        }
    }

    fn tidy(&mut self) {
        if self.slots.is_empty() && self.written > 0 || self.written > 2 * self.bytes as u64 + SLACK {
            self.rewrite();
        }
    }

    fn rewrite(&mut self) {
        match self.renew() {
            Ok((file, places)) => {
                self.written = places.last().map_or(0, |(at, len)| at + *len as u64);
                self.file = Some(file);
                for (slot, (at, _)) in self.slots.iter_mut().zip(places) {
                    slot.line = Place::Disk(at);
                }
            }
            Err(e) => tracing::warn!("failed to write {}: {e}", self.path.display()),
        }
    }

    /// Another file with what waits, in the place of the one before, and where each line is.
    fn renew(&mut self) -> io::Result<(File, Vec<(u64, usize)>)> {
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let (mut places, mut at) = (Vec::new(), 0);
        // What cannot be read any more is not there.
        let lines: Vec<bool> = self.slots.iter().map(|slot| self.line(slot).is_ok()).collect();
        let mut kept = lines.into_iter();
        self.slots.retain(|_| kept.next().unwrap_or(false));
        self.bytes = self.slots.iter().map(|slot| slot.len).sum();
        for slot in &self.slots {
            file.write_all(&self.line(slot)?)?;
            places.push((at, slot.len));
            at += slot.len as u64;
        }
        fs::rename(&new, &self.path)?;
        Ok((file, places))
    }
}

/// With its length.
fn line(line: &Line) -> (Vec<u8>, usize) {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    let len = text.len();
    (text, len)
}
