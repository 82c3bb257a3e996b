//! `remora check`: configuration, host, and the linter of tracers.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;

use super::{markdown, meanings, tracers};
use crate::config::Config;
use crate::host::{cgroup::CgroupRoot, prerequisites};
use crate::scope::Scope;
use crate::tracer::carry::Carry;
use crate::tracer::links::{Attach, Held};
use crate::tracer::load::{Instance, Loaded};
use crate::tracer::params::Values;
use crate::tracer::{Description, ObjectFile, Opened, trial};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  remora check\n  remora check --strict mine.bpf.o")]
pub struct Args {
    /// BPF objects to load, attach and describe; without any, configuration and host are checked.
    objects: Vec<PathBuf>,
    /// Also refuse what lacks a help text.
    #[arg(long)]
    strict: bool,
    /// Describe in JSON.
    #[arg(long)]
    json: bool,
    /// Describe in Markdown, for documents; nothing is loaded.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// What the events mean to rules and profiles, in JSON; nothing is loaded.
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    meanings: bool,
}

pub fn run(args: &Args, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let config = config()?;
    if args.objects.is_empty() {
        return Ok(host(&config));
    }
    if args.meanings {
        let describe = |path: &PathBuf| {
            let described =
                ObjectFile::read(path).map_err(anyhow::Error::from).and_then(|f| opened(&f, args.strict));
            described.with_context(|| path.display().to_string())
        };
        let all = args.objects.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
        print!("{}", meanings::document(&all));
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = false;
    for path in &args.objects {
        let read = ObjectFile::read(path).map_err(anyhow::Error::from);
        if args.markdown {
            let described = read.and_then(|file| opened(&file, args.strict));
            println!("{}", markdown::describe(&described.with_context(|| path.display().to_string())?));
            continue;
        }
        let checked = read.and_then(|file| object(&file, args.strict));
        match checked {
            Ok(loaded) if args.json => {
                let chosen: Vec<&String> = loaded.chosen.iter().map(|(n, _)| n).collect();
                let mut value = serde_json::to_value(&*loaded.description)?;
                value["chosen"] = serde_json::json!(chosen);
                value["refused"] = serde_json::json!(loaded.refused);
                println!("{value}");
            }
            Ok(loaded) => {
                tracers::describe(&serde_json::to_value(&*loaded.description)?)?;
                for (program, _) in &loaded.chosen {
                    println!("program {program}: loaded and attached");
                }
                for (program, why) in &loaded.refused {
                    println!("program {program}: refused by this kernel: {why}");
                }
            }
            Err(e) => {
                failed = true;
                eprintln!("{}: {e:#}", path.display());
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn host(config: &Config) -> ExitCode {
    let findings = prerequisites::check(config);
    findings.iter().for_each(|finding| println!("{}", super::doctor::line(finding)));
    if findings.iter().any(prerequisites::Finding::fatal) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What an object says of itself.
fn opened(file: &ObjectFile, strict: bool) -> anyhow::Result<Description> {
    trial::survives(file)?;
    let description = Opened::open(file)?.read.description;
    if strict {
        lint(&description)?;
    }
    Ok(description)
}

/// Opens and loads on maps of its own; nothing is left, and nothing attached.
pub fn load(file: &ObjectFile, scope: &Scope) -> anyhow::Result<Loaded> {
    trial::survives(file)?;
    let instance = Instance { bit: 0, number: 1, params: Values::new() };
    Ok(Loaded::load(file, &scope.shared, instance, &Carry::default())?)
}

/// Maps that nobody else has.
pub fn scratch() -> anyhow::Result<Scope> {
    Ok(Scope::open(16, 64, 64 << 10, None)?)
}

/// As it is loaded, and attached, too.
fn object(file: &ObjectFile, strict: bool) -> anyhow::Result<Loaded> {
    let mut scope = scratch()?;
    scope.attach()?;
    let loaded = load(file, &scope)?;
    if strict {
        lint(&loaded.description)?;
    }
    let own = Scratch::new()?;
    let mut held = Vec::new();
    loaded.refreshes.run();
    if let Some((program, why)) = loaded.refreshes.problems().first() {
        anyhow::bail!("failed to run program {program}: {why}");
    }
    for (program, attach) in loaded.chosen.iter().filter(|(_, a)| *a != Attach::Refresh) {
        let cgroup = (*attach == Attach::Cgroup).then_some(own.0.as_path());
        held.push(Held::new(&loaded.object, program, cgroup, None).map_err(anyhow::Error::msg)?);
    }
    Ok(loaded)
}

/// An empty cgroup to attach to.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let path = CgroupRoot::discover()?.path().join(format!("remora-check-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn lint(d: &Description) -> anyhow::Result<()> {
    let fields = d.events.iter().flat_map(|e| e.fields.iter().map(|f| (&f.name, &f.help)));
    let events = d.events.iter().map(|e| (&e.name, &e.help));
    let rows = d.tables.iter().flat_map(|t| t.fields.iter().map(|f| (&f.name, &f.help)));
    let tables = d.tables.iter().map(|t| (&t.name, &t.help));
    let metrics = d.metrics.iter().map(|m| (&m.name, &m.help));
    let params = d.params.iter().map(|p| (&p.name, &p.help));
    let all = fields
        .chain(events)
        .chain(rows)
        .chain(tables)
        .chain(metrics)
        .chain(params)
        .chain([(&d.name, &d.help)]);
    let bare: Vec<&str> = all.filter(|(_, help)| help.is_empty()).map(|(name, _)| name.as_str()).collect();
    anyhow::ensure!(bare.is_empty(), "without help text: {}", bare.join(", "));
    Ok(())
}
