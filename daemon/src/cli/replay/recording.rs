//! Recorded events, of several files in the order of their times.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use remora_alert::event::Event;

/// Longest line, in bytes: several times what an event may be.
const LINE_MAX: u64 = 1 << 20;

#[derive(Debug)]
pub enum Line {
    Event(Box<Event>),
    /// Here events are missing.
    Gap,
}

#[derive(Debug)]
pub struct Recordings(Vec<Recording>);

impl Recordings {
    pub fn open(paths: &[PathBuf]) -> anyhow::Result<Self> {
        paths.iter().map(|path| Recording::open(path)).collect::<anyhow::Result<_>>().map(Self)
    }

    #[cfg(test)]
    pub fn of_text(text: &str) -> Self {
        let lines = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        Self(vec![Recording::of("text".into(), lines).expect("no recording")])
    }

    /// The earliest of all next lines; of the same time, that of the first file.
    pub fn next(&mut self) -> anyhow::Result<Option<Line>> {
        let next = self.0.iter_mut().filter(|r| r.next.is_some()).min_by_key(|r| r.time);
        let Some(recording) = next else { return Ok(None) };
        let line = recording.next.take();
        recording.advance()?;
        Ok(line)
    }
}

struct Recording {
    name: String,
    lines: Box<dyn BufRead>,
    number: u64,
    next: Option<Line>,
    /// Of the last event that was read; a gap is at the time of what came before.
    time: u64,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.number)
    }
}

impl Recording {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let lines: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(
                File::open(path).with_context(|| format!("failed to open {}", path.display()))?,
            ))
        };
        Self::of(path.display().to_string(), lines)
    }

    fn of(name: String, lines: Box<dyn BufRead>) -> anyhow::Result<Self> {
        let mut recording = Self { name, lines, number: 0, next: None, time: 0 };
        recording.advance()?;
        Ok(recording)
    }

    fn advance(&mut self) -> anyhow::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.number += 1;
            let failed = || format!("failed to read {}", self.name);
            let read =
                self.lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).with_context(failed)?;
            if read == 0 {
                return Ok(());
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        let whole = line.ends_with(b"\n");
        if !whole && line.len() as u64 == LINE_MAX {
            bail!("{}:{}: the line is longer than {LINE_MAX} bytes", self.name, self.number);
        }
        self.next = Some(match parse(&line) {
            // Whoever wrote it was stopped.
            Err(_) if !whole => Line::Gap,
            read => read.with_context(|| format!("{}:{}", self.name, self.number))?,
        });
        if let Some(Line::Event(event)) = &self.next {
            self.time = event.time();
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> anyhow::Result<Line> {
    match Event::parse(line) {
        Ok(event) => Ok(Line::Event(Box::new(event))),
        Err(e) => {
            let json: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            if json["gap"].is_object() { Ok(Line::Gap) } else { Err(e.into()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: u32, cursor: u32) -> String {
        format!(
            r#"{{"time":"2026-01-01T00:00:{second:02}Z","event":{{"name":"x","tracer":"x","cursor":{cursor}}},"container":{{"id":"c"}}}}"#
        ) + "\n"
    }

    fn recordings(texts: &[String]) -> anyhow::Result<Vec<Option<u64>>> {
        let of = |(n, text): (usize, &String)| {
            Recording::of(format!("r{n}"), Box::new(io::Cursor::new(text.clone().into_bytes())))
        };
        let mut all = Recordings(texts.iter().enumerate().map(of).collect::<anyhow::Result<_>>()?);
        let mut told = Vec::new();
        while let Some(line) = all.next()? {
            told.push(match line {
                Line::Event(event) => Some(event.cursor()),
                Line::Gap => None,
            });
        }
        Ok(told)
    }

    #[test]
    fn several_files_are_in_order_of_time() {
        let gap = "{\"gap\":{\"after\":1,\"to\":2}}\n\n";
        let one = event(1, 1) + gap + &event(5, 2);
        let other = event(1, 3) + &event(4, 4) + &event(9, 5);
        assert_eq!(recordings(&[one, other]).unwrap(), [Some(1), None, Some(3), Some(4), Some(2), Some(5)]);
        assert_eq!(recordings(&[]).unwrap(), []);
    }

    #[test]
    fn what_was_cut_off_is_a_gap_and_what_is_wrong_is_named() {
        assert_eq!(recordings(&[event(1, 1) + &event(2, 2)[..40]]).unwrap(), [Some(1), None]);
        for (text, why) in [
            (event(1, 1) + "[1]\n", "r0:2: the line is no JSON object"),
            ("{}\n".to_owned(), "r0:1: the event has no time"),
            ("x".repeat(2 << 20), "r0:1: the line is longer"),
            ("[".repeat(9999) + "\n", "r0:1: the line is no JSON"),
        ] {
            let said = format!("{:#}", recordings(&[text]).unwrap_err());
            assert!(said.starts_with(why), "{said}");
        }
    }
}
