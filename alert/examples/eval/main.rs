//! eval RECORDING [--learn RECORDING]… [--rounds N] [--rules DIR] [--findings FILE] [--write docs/evaluation.md]: what the alert layer makes
//! of a recording of tests/eval/record, held against its labels.

mod findings;
mod judge;
mod labels;
mod memory;
mod reader;
mod run;
mod side;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use remora_alert::rules::{Rules, Source};

use crate::labels::Recording;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

type Result<T> = std::result::Result<T, String>;

/// What was asked for.
struct Options {
    recording: PathBuf,
    /// Of which only what comes before attacks is learned.
    learn: Vec<PathBuf>,
    /// How often all of that is told, each time as further days.
    rounds: u32,
    rules: Option<PathBuf>,
    findings: Option<PathBuf>,
    write: Option<PathBuf>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            recording: PathBuf::new(),
            learn: vec![],
            rounds: 4,
            rules: None,
            findings: None,
            write: None,
        };
        while let Some(word) = words.next() {
            let mut path = || words.next().map(PathBuf::from).ok_or(format!("{word} takes a value"));
            match word.as_str() {
                "--learn" => options.learn.push(path()?),
                "--rounds" => {
                    options.rounds =
                        path()?.to_string_lossy().parse().map_err(|e| format!("--rounds: {e}"))?
                }
                "--rules" => options.rules = Some(path()?),
                "--findings" => options.findings = Some(path()?),
                "--write" => options.write = Some(path()?),
                _ => options.recording = word.into(),
            }
        }
        if options.recording.as_os_str().is_empty() {
            return Err(
                "usage: eval RECORDING [--learn RECORDING]… [--rounds N] [--rules DIR] [--write FILE]"
                    .to_owned(),
            );
        }
        Ok(options)
    }
}

/// The shipped rules, and those of a folder.
fn sources(folder: Option<&PathBuf>) -> Result<Vec<Source>> {
    let mut sources = Rules::shipped();
    let Some(folder) = folder else { return Ok(sources) };
    let entries =
        std::fs::read_dir(folder).map_err(|e| format!("failed to read {}: {e}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    for path in paths {
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("failed to read {}: {e}", path.display()))?;
        sources.push(Source { name: path.display().to_string(), text });
    }
    Ok(sources)
}

fn evaluate(options: &Options) -> Result<()> {
    let recording = Recording::open(&options.recording)?;
    let learn = options.learn.iter().map(|path| Recording::open(path)).collect::<Result<Vec<_>>>()?;
    let sources = sources(options.rules.as_ref())?;
    let mut outcome = run::run(&recording, &learn, options.rounds, &sources)?;
    let report = table::report(&recording, &learn, &sources, &mut outcome, options.rounds);
    println!("{report}");
    if let Some(path) = &options.findings {
        let text = findings::write(&recording, &outcome);
        std::fs::write(path, text).map_err(|e| format!("failed to write {}: {e}", path.display()))?;
    }
    options.write.as_ref().map_or(Ok(()), |path| table::put(path, &report))
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| evaluate(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("eval: {why}");
            ExitCode::FAILURE
        }
    }
}
