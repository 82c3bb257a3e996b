//! A recording's events in the order in which they came, with the ends of containers between them; told again as another day's, if asked.

use std::fs::File;
use std::io::{BufRead, BufReader};

use remora_alert::event::Event;
use remora_alert::time;
use serde_json::{Map, Value};

use crate::Result;
use crate::labels::{Recording, ns};

pub enum Happened {
    Event(Event),
    /// Of that container everything was heard.
    Ended(String, u64),
}

/// Which day: how much later than it was (modulo 2^64, so that it may be earlier), and what containers' ids get behind them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Day {
    pub later: u64,
    pub number: u32,
}

impl Day {
    fn of(self, time: u64) -> u64 {
        time.wrapping_add(self.later)
    }
}

pub struct Reader {
    lines: std::io::Lines<BufReader<File>>,
    /// The next that ends last.
    ends: Vec<(u64, String)>,
    until: u64,
    day: Day,
    waiting: Option<Event>,
    /// Lines that are no events: gaps.
    pub gaps: u64,
}

impl Reader {
    /// Events before `until`, a time of the recording.
    pub fn new(recording: &Recording, until: u64, day: Day) -> Result<Self> {
        let path = recording.events();
        let file = File::open(&path).map_err(|e| format!("failed to open {}: {e}", path.display()))?;
        // Who is still there when the day ends has to end before the same comes again.
        let close = until.min(recording.phase("end"));
        let mut ends: Vec<_> = recording
            .labels
            .containers
            .iter()
            .map(|c| (day.of(c.to.map_or(close, ns).min(close)), another(&c.id, day)))
            .collect();
        ends.sort_by(|a, b| b.cmp(a));
        Ok(Self { lines: BufReader::new(file).lines(), ends, until, day, waiting: None, gaps: 0 })
    }

    fn read(&mut self) -> Option<Event> {
        loop {
            let line = self.lines.next()?.ok()?;
            let Ok(mut json) = serde_json::from_str::<Map<String, Value>>(&line) else { continue };
            let text = json.get("time").and_then(Value::as_str);
            let Some(at) = text.and_then(time::parse) else {
                self.gaps += 1;
                continue;
            };
            if at >= self.until {
                continue;
            }
            if self.day.number > 0 {
                move_to(&mut json, at, self.day);
            }
            if let Ok(event) = Event::new(json) {
                return Some(event);
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Happened;

    fn next(&mut self) -> Option<Happened> {
        let event = self.waiting.take().or_else(|| self.read());
        let first = self.ends.last().map(|end| end.0);
        match (event, first) {
            (Some(event), Some(end)) if end < event.time() => {
                self.waiting = Some(event);
                self.ends.pop().map(|(time, id)| Happened::Ended(id, time))
            }
            (Some(event), _) => Some(Happened::Event(event)),
            (None, _) => self.ends.pop().map(|(time, id)| Happened::Ended(id, time)),
        }
    }
}

fn another(id: &str, day: Day) -> String {
    if day.number == 0 { id.to_owned() } else { format!("{id}-{}", day.number) }
}

fn move_to(json: &mut Map<String, Value>, at: u64, day: Day) {
    json["time"] = time::format(day.of(at)).into();
    if let Some(id) = json.get_mut("container").and_then(|c| c.get_mut("id")) {
        *id = another(id.as_str().unwrap_or_default(), day).into();
    }
}
