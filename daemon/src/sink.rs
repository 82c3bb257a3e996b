//! Events to a file, one JSON object a line: each exactly once, over restarts of the daemon too, because the
//! last line's cursor says where to go on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::decode::json;
use crate::event::Hub;

/// A file that is appended to, within a bound.
#[derive(Debug)]
pub struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl Rotating {
    /// Opens the file to go on behind its last whole line.
    pub fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let mut out = Self { path: path.to_owned(), file: append(path)?, size: 0, limit };
        let (from, tail) = out.tail()?;
        out.size = from + tail.len() as u64;
        out.file.set_len(out.size)?;
        Ok(out)
    }

    /// The last whole lines, and where they begin.
    fn tail(&mut self) -> io::Result<(u64, Vec<u8>)> {
        const LOOK: u64 = 256 << 10;
        let from = self.file.metadata()?.len().saturating_sub(LOOK);
        self.file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        (&self.file).take(LOOK).read_to_end(&mut tail)?;
        tail.truncate(tail.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1));
        Ok((from, tail))
    }

    /// Appends whole lines. Past its bound the file becomes `FILE.1`.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let more = lines.len() as u64;
        if self.size > 0 && self.size + more > self.limit {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(lines)?;
        self.size += more;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}

#[derive(Debug)]
pub struct FileSink {
    out: Rotating,
    after: u64,
}

impl FileSink {
    /// Opens the file to go on behind its last event. Cursors of another ring, told by the epoch, are void.
    pub fn open(path: &Path, limit: u64, epoch: u64) -> io::Result<Self> {
        let mut sink = Self { out: Rotating::open(path, limit)?, after: 0 };
        sink.recover(epoch)?;
        Ok(sink)
    }

    /// Finds the last cursor of this epoch.
    fn recover(&mut self, epoch: u64) -> io::Result<()> {
        let (_, tail) = self.out.tail()?;
        let mut lines = tail
            .split(|b| *b == b'\n')
            .rev()
            .filter_map(|l| serde_json::from_slice::<serde_json::Value>(l).ok());
        let mark = Self::marker(&self.out.path);
        let same = fs::read_to_string(&mark).is_ok_and(|m| m.trim() == epoch.to_string());
        if same {
            self.after = lines.find_map(|l| l["event"]["cursor"].as_u64()).unwrap_or(0);
        }
        fs::write(mark, format!("{epoch}\n"))
    }

    fn marker(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".epoch");
        path.with_file_name(name)
    }

    /// Writes whatever comes until the future is dropped.
    pub async fn run(mut self, hub: Hub) {
        let mut news = hub.news();
        if self.after == 0 {
            // A new file owes nobody what was before it.
            self.after = hub.begin();
        }
        loop {
            news.borrow_and_update();
            if let Err(e) = self.write(&hub) {
                tracing::error!("failed to write events to {}: {e}", self.out.path.display());
            }
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn write(&mut self, hub: &Hub) -> io::Result<()> {
        loop {
            let page = hub.after(self.after, 16);
            let mut out = Vec::new();
            if let Some(to) = page.missed_to {
                json::gap(&mut out, self.after, to);
                self.after = to;
            }
            let mut last = self.after;
            for batch in &page.batches {
                for entry in batch.entries.iter().filter(|e| e.cursor > self.after) {
                    json::event(&mut out, &batch.event(entry));
                    out.push(b'\n');
                    last = entry.cursor;
                }
            }
            if out.is_empty() {
                return Ok(());
            }
            self.out.write(&out)?;
            self.after = last;
        }
    }
}
