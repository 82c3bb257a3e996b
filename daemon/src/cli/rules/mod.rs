//! `remora rules`

mod offline;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;
use hyper::{Method, body::Bytes};
use remora_alert::rules::Problem;
use serde_json::Value;

use super::events::at;
use super::report::{document, text};
use super::table;
use crate::api::client;
use crate::config::Config;
use crate::decode::text::json_document;

pub use offline::{Which, say};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora rules list\n  remora rules show shell-with-terminal\n  remora rules check mine.yaml\n  remora rules test tests/*.yaml --rules /etc/remora/rules.d\n  remora rules reload"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the rules that the daemon has, and how often each spoke.
    List {
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Show one of them: what it is for, what it needs, what is harmless.
    Show { id: String },
    /// Read rules, and name by line what is wrong with them. Asks no daemon.
    Check {
        /// Files to check, instead of those of the folder.
        files: Vec<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Run tests of rules: events, and which rules are to speak of them. Asks no daemon.
    Test {
        /// Files of tests, and folders of such; without any, `tests` in the folder of rules.
        files: Vec<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Have the daemon read its rules anew; what is wrong with them is named, and the others run.
    Reload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

pub fn run(
    args: Args,
    config: impl Fn() -> anyhow::Result<Config>,
    socket: impl Fn() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Check { files, which } => offline::check(&files, &which, &config()?),
        Verb::Test { files, which } => offline::test(&files, &which, &config()?),
        Verb::List { format } => super::wait(list(&socket()?, format)),
        Verb::Show { id } => super::wait(show(&socket()?, &id)),
        Verb::Reload => super::wait(reload(&socket()?)),
    }
}

async fn list(socket: &Path, format: Format) -> anyhow::Result<ExitCode> {
    let all: Vec<Value> = client::json(socket, "/v1/rules").await?;
    match format {
        Format::Json => println!("{}", json_document(&all, true)),
        Format::Table => {
            let head = ["RULE", "SEVERITY", "ENABLED", "MATCHES", "TAGS", "FILE", "SAYS"];
            table::print(&head, &all.iter().map(row).collect::<Vec<_>>())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(rule: &Value) -> Vec<String> {
    let enabled = if rule["enabled"] == false { "no" } else { "yes" };
    let file = format!("{}:{}", at(rule, "file"), at(rule, "line"));
    let [id, severity, matches, tags, says] =
        ["id", "severity", "matches", "tags", "summary"].map(|k| at(rule, k));
    vec![id, severity, enabled.to_owned(), matches, tags, file, says]
}

async fn show(socket: &Path, id: &str) -> anyhow::Result<ExitCode> {
    let all: Vec<Value> = client::json(socket, "/v1/rules").await?;
    let rule =
        all.iter().find(|rule| rule["id"] == id).with_context(|| format!("the daemon has no rule {id}"))?;
    io::Write::write_all(&mut io::stdout(), text::render(&described(id, rule)).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Every member that it has; what takes several lines comes last.
fn described(id: &str, rule: &Value) -> document::Document {
    let members = || {
        rule.as_object().into_iter().flatten().filter(|(key, _)| !["id", "summary"].contains(&key.as_str()))
    };
    let (long, short): (Vec<_>, Vec<_>) =
        members().partition(|(key, _)| ["description", "condition", "exceptions"].contains(&key.as_str()));
    let facts = short.into_iter().map(|(key, _)| (key.clone(), at(rule, key)));
    let facts = document::Body::Facts(facts.filter(|(_, said)| !said.is_empty()).collect());
    let mut parts = vec![document::Part { heading: "In short".into(), notes: Vec::new(), body: facts }];
    for (key, value) in long {
        let lines = match value {
            Value::Array(all) => all.iter().map(exception).collect(),
            _ => at(rule, key).lines().map(str::to_owned).collect(),
        };
        parts.push(document::Part {
            heading: key.clone(),
            notes: lines,
            body: document::Body::Facts(Vec::new()),
        });
    }
    document::Document { title: format!("{id}: {}", at(rule, "summary")), parts }
}

fn exception(value: &Value) -> String {
    match at(value, "reason") {
        reason if reason.is_empty() => at(value, "condition"),
        reason => format!("{reason}: {}", at(value, "condition")),
    }
}

async fn reload(socket: &Path) -> anyhow::Result<ExitCode> {
    let answer: Value = client::answer(socket, Method::POST, "/v1/rules/reload", Bytes::new()).await?;
    let problems: Vec<Problem> =
        serde_json::from_value(answer["problems"].clone()).context("failed to read the daemon's answer")?;
    say(&problems);
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
