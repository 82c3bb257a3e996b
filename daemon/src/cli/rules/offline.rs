//! Rules without a daemon: read, checked and tested as it would.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use remora_alert::meaning::Meanings;
use remora_alert::rules::test::{self, Outcome};
use remora_alert::rules::{Problem, Rules, Source};

use crate::alert::files::{self, By};
use crate::config::Config;
use crate::decode::text::printable;

/// Whose rules, and over which events.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Folder of rules, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Without the rules that come with remora.
    #[arg(long)]
    no_shipped: bool,
    /// What tracers say of their events, as `remora tracers --format json` prints it; without it, those that come with remora.
    #[arg(long, value_name = "FILE")]
    tracers: Option<PathBuf>,
}

/// Rules, what is wrong with them, and what their events mean.
#[derive(Debug)]
pub struct Compiled {
    pub rules: Rules,
    pub problems: Vec<Problem>,
    pub meanings: Meanings,
    pub files: usize,
}

impl Which {
    pub fn compile(&self, config: &Config, instead: &[PathBuf]) -> anyhow::Result<Compiled> {
        let shipped = config.alerts.shipped_rules && !self.no_shipped;
        let (sources, mut problems) = match instead {
            [] => files::read(shipped, self.folder(config), self.by()),
            paths => {
                let own = if shipped { Rules::shipped() } else { Vec::new() };
                let (named, problems) = files::named(paths, By::Anybody);
                ([own, named].concat(), problems)
            }
        };
        let meanings = self.meanings()?;
        let (rules, more) = Rules::compile(&sources, Some(&meanings));
        problems.extend(more);
        Ok(Compiled { rules, problems, meanings, files: sources.len() })
    }

    fn folder<'a>(&'a self, config: &'a Config) -> &'a Path {
        self.rules.as_deref().unwrap_or(&config.alerts.rules_dir)
    }

    /// The configured folder is checked as the daemon checks it.
    fn by(&self) -> By {
        if self.rules.is_none() { By::Root } else { By::Anybody }
    }

    fn meanings(&self) -> anyhow::Result<Meanings> {
        let Some(path) = &self.tracers else { return Ok(Meanings::shipped()) };
        let failed = || format!("failed to read tracers of {}", path.display());
        let tracers =
            serde_json::from_slice(&std::fs::read(path).with_context(failed)?).with_context(failed)?;
        let meanings = Meanings::of_tracers(&tracers);
        anyhow::ensure!(!meanings.is_empty(), "{}: no event is described in {}", failed(), path.display());
        Ok(meanings)
    }
}

pub fn check(paths: &[PathBuf], which: &Which, config: &Config) -> anyhow::Result<ExitCode> {
    let Compiled { rules, problems, files, .. } = which.compile(config, paths)?;
    say(&problems);
    println!("{} rules of {files} files are right", rules.iter().count());
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// On standard error, as compilers do.
pub fn say(problems: &[Problem]) {
    problems.iter().for_each(|problem| eprintln!("{}", printable(&problem.to_string())));
}

pub fn test(paths: &[PathBuf], which: &Which, config: &Config) -> anyhow::Result<ExitCode> {
    let Compiled { rules, problems, .. } = which.compile(config, &[])?;
    say(&problems);
    let own = [which.folder(config).join("tests")];
    let (tests, unread) = tests(if paths.is_empty() { &own } else { paths });
    say(&unread);
    let outcomes = test::run(&rules, &tests);
    let failed: Vec<&Outcome> = outcomes.iter().filter(|o| !o.ok).collect();
    for Outcome { file, line, name, what, .. } in &failed {
        eprintln!("{}", printable(&format!("{file}:{line}: {name}: {what}")));
    }
    println!("{} tests passed, {} failed", outcomes.len() - failed.len(), failed.len());
    anyhow::ensure!(!outcomes.is_empty(), "there are no tests: name files of tests");
    let fine = failed.is_empty() && unread.is_empty() && problems.is_empty();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Of files, and of all files in folders.
fn tests(paths: &[PathBuf]) -> (Vec<Source>, Vec<Problem>) {
    let (folders, named): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| path.is_dir());
    let mut all = files::named(&named, By::Anybody);
    for folder in folders {
        let (sources, problems) = files::read(false, &folder, By::Anybody);
        all.0.extend(sources);
        all.1.extend(problems);
    }
    all
}
