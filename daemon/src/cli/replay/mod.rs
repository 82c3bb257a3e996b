//! `remora replay`: recorded events through rules, profiles and incidents, by the code that the daemon runs.

mod ends;
mod recording;
mod summary;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use remora_alert::engine::{Engine, Told};
use remora_alert::event::Event;
use remora_alert::incident::Incident;
use remora_alert::profile::Profile;
use remora_alert::time::SECOND;

use super::{alerts, rules};
use crate::config::Config;
use crate::decode::text::json_document;
use ends::Ends;
use recording::{Line, Recordings};
use summary::Summary;

/// Where nothing happens for the window and so many seconds, time is not gone through in steps.
const STEPS_MAX: u64 = 3600;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora events --follow --format json >day.json\n  remora replay day.json\n  remora replay day.json --rules mine.d --format json\n  remora replay monday.json --learned known.d && remora replay tuesday.json --profiles known.d"
)]
pub struct Args {
    /// Events as `remora events --format json` prints them; several files are put in order of time; - is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    which: rules::Which,
    /// Begin with the profiles of this folder.
    #[arg(long, value_name = "DIR")]
    profiles: Option<PathBuf>,
    /// Write what is known of images in the end into this folder.
    #[arg(long, value_name = "DIR")]
    learned: Option<PathBuf>,
    /// `json`: each thing told, as it is told, one a line; the summary last.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    let compiled = args.which.compile(config, &[])?;
    rules::say(&compiled.problems);
    let mut engine = Engine::new(config.alerts.limits(), compiled.rules, compiled.meanings);
    if let Some(dir) = &args.profiles {
        import(&mut engine, dir)?;
    }
    let begun = Instant::now();
    let mut replay = Replay::new(engine, config, args.format, io::stdout());
    replay.all(Recordings::open(&args.files)?)?;
    if let Some(dir) = &args.learned {
        export(&replay.engine, dir)?;
    }
    let (seconds, events) = (begun.elapsed().as_secs_f64(), replay.summary.events as f64);
    eprintln!("remora: took {seconds:.2} s, {:.0} events a second", events / seconds.max(f64::MIN_POSITIVE));
    Ok(())
}

struct Replay<W> {
    engine: Engine,
    format: Format,
    out: W,
    ends: Ends,
    summary: Summary,
    /// As they were last told, for a person to read in the end.
    incidents: BTreeMap<(String, String), Incident>,
    /// The last second that the engine heard of.
    second: Option<u64>,
    /// Of the incidents, in seconds.
    window: u64,
}

impl<W: Write> Replay<W> {
    fn new(engine: Engine, config: &Config, format: Format, out: W) -> Self {
        let (ends, summary, incidents) = Default::default();
        let window = config.alerts.window.as_secs();
        Self { engine, format, out, ends, summary, incidents, second: None, window }
    }

    fn all(&mut self, mut recordings: Recordings) -> anyhow::Result<()> {
        while let Some(line) = recordings.next()? {
            self.line(&line)?;
        }
        self.end()
    }

    fn line(&mut self, line: &Line) -> anyhow::Result<()> {
        match line {
            Line::Event(event) => self.event(event),
            // Of whom is not known: of each that was there.
            Line::Gap => {
                self.summary.gaps += 1;
                self.ends.containers().for_each(|container| self.engine.lost(container, 1));
                Ok(())
            }
        }
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.until(event.time())?;
        self.engine.event(event);
        self.summary.event(event);
        if self.ends.is_end(event) {
            self.engine.ended(event.container(), event.time());
        }
        self.tell()
    }

    /// Each second up to that time, as the daemon's clock has them.
    fn until(&mut self, time: u64) -> anyhow::Result<()> {
        let now = time / SECOND;
        let last = self.second.unwrap_or(now);
        for second in (last + 1).max(now.saturating_sub(self.window + STEPS_MAX))..=now {
            self.engine.tick(second * SECOND);
            self.tell()?;
        }
        self.second = Some(last.max(now));
        Ok(())
    }

    /// What was open comes to its end.
    fn end(&mut self) -> anyhow::Result<()> {
        let last = self.second.unwrap_or(0);
        self.until((last + self.window + 60).saturating_mul(SECOND))?;
        self.summary.close(&self.engine.counts(), self.incidents.len() as u64);
        match self.format {
            Format::Json => {
                let summary = serde_json::json!({ "summary": self.summary });
                writeln!(self.out, "{}", json_document(&summary, false))?;
            }
            Format::Text => {
                for incident in self.incidents.values() {
                    writeln!(self.out, "{}", alerts::text(incident))?;
                }
                write!(self.out, "{}", self.summary.text())?;
            }
        }
        Ok(())
    }

    fn tell(&mut self) -> anyhow::Result<()> {
        for matched in self.engine.matches() {
            self.summary.matched(&matched.rule);
        }
        for told in self.engine.told() {
            if self.format == Format::Json {
                writeln!(self.out, "{}", json_document(&told, false))?;
            }
            if let Told::Incident(incident) = told {
                self.incidents.insert((incident.first.clone(), incident.id.clone()), *incident);
            }
        }
        Ok(())
    }
}

fn import(engine: &mut Engine, dir: &Path) -> anyhow::Result<()> {
    let failed = || format!("failed to read profiles of {}", dir.display());
    let entries = std::fs::read_dir(dir).with_context(failed)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|e| Ok(e?.path())).collect::<io::Result<_>>().with_context(failed)?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    for path in paths {
        engine.profiles_mut().import(super::profile::read(&path)?);
    }
    Ok(())
}

fn export(engine: &Engine, dir: &Path) -> anyhow::Result<()> {
    let failed = || format!("failed to write profiles into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(failed)?;
    for known in engine.profiles().iter() {
        let text = engine.profiles().get(&known.of).map(Profile::to_yaml).unwrap_or_default();
        std::fs::write(dir.join(known.of.file_name()), text).with_context(failed)?;
    }
    Ok(())
}
