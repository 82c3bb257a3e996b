//! `remora profile`

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use http_body_util::BodyExt;
use hyper::{Method, body::Bytes};
use remora_alert::profile::{Profile, diff, merge};
use serde_json::Value;

use super::events::at;
use super::table;
use crate::api::client::{self, encode};
use crate::decode::text::{json_document, printable};

/// Largest file of one, in bytes.
const LARGEST: usize = 16 << 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A KEY is IMAGE@DIGEST[/ROLE], or so much of its beginning as is one profile's alone.\n\nExamples:\n  remora profile list\n  remora profile show localhost/nginx\n  remora profile export localhost/nginx -o nginx.yaml\n  remora profile diff nginx.yaml localhost/nginx\n  remora profile merge node-1.yaml node-2.yaml >fleet.yaml\n  remora profile import fleet.yaml --pin"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what is known of images, and how sure that is.
    List {
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Show all behaviour that a profile has.
    Show {
        #[arg(value_name = "KEY|FILE")]
        key: String,
    },
    /// What the second one has that the first one has not, and the other way round.
    Diff {
        #[arg(value_name = "KEY|FILE")]
        before: String,
        #[arg(value_name = "KEY|FILE")]
        after: String,
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Write a profile as a file that can be read, signed, shipped and imported.
    Export {
        key: String,
        /// The file to write; without any, standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Give the daemon a profile.
    Import {
        file: PathBuf,
        /// It is never changed, and what leaves it counts from the first event on.
        #[arg(long)]
        pin: bool,
    },
    /// Never change a profile from now on.
    Pin { key: String },
    /// Let it learn again.
    Unpin { key: String },
    /// Make one of several of the same image, as several nodes have learned it.
    Merge {
        #[arg(required = true, value_name = "KEY|FILE")]
        profiles: Vec<String>,
    },
    /// Have the daemon forget a profile, and learn anew.
    Remove { key: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The daemon's socket is asked for only by what needs a daemon.
pub async fn run(args: Args, socket: impl Fn() -> anyhow::Result<PathBuf>) -> anyhow::Result<()> {
    let of = async |key: &str, rest: &str, method: Method| {
        let socket = socket()?;
        let target = format!("/v1/profiles/{}{rest}", encode(&whole(&socket, key).await?));
        client::send(&socket, method, &target, Bytes::new()).await
    };
    match args.verb {
        Verb::List { format } => list(&socket()?, format).await?,
        Verb::Show { key } => {
            let text = text(&key, &socket).await?;
            text.lines().try_for_each(|line| writeln!(io::stdout(), "{}", printable(line)))?;
        }
        Verb::Diff { before, after, format } => {
            let (before, after) = (profile(&before, &socket).await?, profile(&after, &socket).await?);
            let differences = diff(&before, &after);
            match format {
                Format::Json => println!("{}", json_document(&differences, true)),
                Format::Table => differences
                    .iter()
                    .try_for_each(|d| writeln!(io::stdout(), "{}", printable(&d.to_string())))?,
            }
        }
        Verb::Export { key, output } => {
            let text = text(&key, &socket).await?;
            match output {
                Some(path) => {
                    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?
                }
                None => put(&text)?,
            }
        }
        Verb::Import { file, pin } => {
            let text = contents(&file)?;
            let key = parse(&text, &file.display().to_string())?.key().to_string();
            let target = format!("/v1/profiles/{}?pin={pin}", encode(&key));
            drop(client::send(&socket()?, Method::PUT, &target, text.into()).await?);
        }
        Verb::Pin { key } => drop(of(&key, "/pin", Method::POST).await?),
        Verb::Unpin { key } => drop(of(&key, "/unpin", Method::POST).await?),
        Verb::Remove { key } => drop(of(&key, "", Method::DELETE).await?),
        Verb::Merge { profiles } => {
            let mut all = None;
            for one in &profiles {
                let next = profile(one, &socket).await?;
                all = Some(match all {
                    Some(merged) => {
                        merge(&merged, &next).with_context(|| format!("failed to merge {one}"))?
                    }
                    None => next,
                });
            }
            put(&all.context("there is nothing to merge")?.to_yaml())?;
        }
    }
    Ok(())
}

async fn list(socket: &Path, format: Format) -> anyhow::Result<()> {
    let all: Vec<Value> = client::json(socket, "/v1/profiles").await?;
    if format == Format::Json {
        println!("{}", json_document(&all, true));
        return Ok(());
    }
    let row =
        |p: &Value| ["key", "state", "entries", "containers", "events", "since"].map(|k| at(p, k)).to_vec();
    table::print(
        &["PROFILE", "STATE", "ENTRIES", "CONTAINERS", "EVENTS", "SINCE"],
        &all.iter().map(row).collect::<Vec<_>>(),
    )?;
    Ok(())
}

/// The key that this one is the beginning of.
async fn whole(socket: &Path, key: &str) -> anyhow::Result<String> {
    let all: Vec<Value> = client::json(socket, "/v1/profiles").await?;
    let keys: Vec<&str> = all.iter().filter_map(|p| p["key"].as_str()).collect();
    Ok(meant(&keys, key)?.to_owned())
}

fn meant<'k>(keys: &[&'k str], key: &str) -> anyhow::Result<&'k str> {
    if let Some(same) = keys.iter().find(|k| **k == key) {
        return Ok(same);
    }
    let found: Vec<&str> = keys.iter().filter(|k| k.starts_with(key)).copied().collect();
    match found[..] {
        [one] => Ok(one),
        [] => bail!("there is no profile {key}: `remora profile list` has those that there are"),
        _ => bail!("{key} may be any of {}", found.join(", ")),
    }
}

/// As a file has it: of the file that is so called, or else of the daemon.
async fn text(name: &str, socket: impl Fn() -> anyhow::Result<PathBuf>) -> anyhow::Result<String> {
    if Path::new(name).exists() {
        return contents(Path::new(name));
    }
    let socket = socket()?;
    let target = format!("/v1/profiles/{}", encode(&whole(&socket, name).await?));
    let body = client::send(&socket, Method::GET, &target, Bytes::new()).await?.collect().await?;
    String::from_utf8(body.to_bytes().into()).with_context(|| format!("failed to read profile {name}"))
}

async fn profile(name: &str, socket: impl Fn() -> anyhow::Result<PathBuf>) -> anyhow::Result<Profile> {
    parse(&text(name, socket).await?, name)
}

fn contents(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("failed to read {}", path.display());
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(failed)?;
    io::Read::read_to_end(&mut io::Read::take(file, LARGEST as u64 + 1), &mut bytes).with_context(failed)?;
    anyhow::ensure!(bytes.len() <= LARGEST, "{} is larger than {LARGEST} bytes", path.display());
    String::from_utf8(bytes).with_context(failed)
}

/// Errors are as those of compilers: file, line, column.
fn parse(text: &str, name: &str) -> anyhow::Result<Profile> {
    Profile::from_yaml(text).map_err(|e| anyhow::anyhow!("{name}:{e}"))
}

/// One of a file.
pub fn read(path: &Path) -> anyhow::Result<Profile> {
    parse(&contents(path)?, &path.display().to_string())
}

/// As it is for a file or a program, harmless for a terminal.
fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    if out.is_terminal() {
        return text.lines().try_for_each(|line| writeln!(out, "{}", printable(line)));
    }
    out.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_profile_is_meant_by_what_is_its_own() {
        let keys =
            ["docker.io/nginx@sha256:aa", "docker.io/nginx@sha256:aa/web", "docker.io/redis@sha256:bb"];
        let find = |key| meant(&keys, key).map_err(|e| e.to_string());
        assert_eq!(find("docker.io/redis"), Ok(keys[2]));
        assert_eq!(find("docker.io/nginx@sha256:aa"), Ok(keys[0]));
        assert!(find("docker.io/n").is_err_and(|e| e.contains("any of") && e.contains(keys[1])));
        assert!(find("redis").is_err_and(|e| e.contains("no profile redis")));
    }
}
