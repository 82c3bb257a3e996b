//! `remora advise`: what a container was seen to need, as what restricts it to that. Advice is as good as what was
//! observed, and says so.

mod capabilities;
mod network;
mod seccomp;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use hyper::body::Incoming;
use serde_json::Value;

use super::{progress, trace};
use crate::api::client::{self, encode};
use crate::decode::text::{json_document, printable};
use crate::registry::record::View;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora advise seccomp web -o web.json; podman run --security-opt seccomp=web.json …\n  remora advise capabilities web --format podman\n  remora advise network shop --seconds 300 | kubectl apply -f -"
)]
pub struct Args {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// A seccomp profile as runc, podman, docker and Kubernetes read it: what the container called, and what its runtime
    /// needs before it executes the container's program; anything else fails.
    #[command(after_help = "Example:\n  remora advise seccomp web -o /var/lib/kubelet/seccomp/web.json")]
    Seccomp(Which),
    /// The capabilities that the container used.
    #[command(after_help = "Example:\n  podman run $(remora advise capabilities web --format podman) …")]
    Capabilities(capabilities::Args),
    /// A Kubernetes NetworkPolicy that allows what the container was seen to talk to, in JSON, which is YAML.
    #[command(after_help = "Example:\n  remora advise network shop --selector app=shop | kubectl apply -f -")]
    Network(network::Args),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Id, beginning of an id, or name; one that ended counts for a minute.
    container: String,
    /// Watch for so many seconds first; needed where the container does not have the tracer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86400))]
    seconds: Option<u64>,
    /// The file to write; without any, standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    match args.of {
        Of::Seccomp(which) => seccomp::run(which, &socket).await,
        Of::Capabilities(args) => capabilities::run(args, &socket).await,
        Of::Network(args) => network::run(args, &socket).await,
    }
}

/// What was seen, and by whom.
struct Evidence {
    view: View,
    /// Its description of the table.
    table: Value,
    rows: Vec<Value>,
    notes: Vec<String>,
    /// Keeps the tracer on that was switched on for this.
    _held: Option<Incoming>,
}

/// What makes a table the one that advice is made of.
type Fits = fn(&Value) -> bool;

impl Evidence {
    /// Rows of the table that fits, after watching if that is wanted.
    async fn gather(which: &Which, socket: &Path, fits: Fits) -> anyhow::Result<Self> {
        let tracers: Vec<Value> = client::json(socket, "/v1/tracers").await?;
        let tables = |t: &Value| t["tables"].as_array().into_iter().flatten().cloned().collect::<Vec<_>>();
        let mut all = tracers.iter().flat_map(|t| tables(t).into_iter().map(move |d| (t, d)));
        let (tracer, table) =
            all.find(|(_, d)| fits(d)).context("no tracer keeps the table this is made of")?;
        let tracer = tracer["name"].as_str().unwrap_or_default().to_owned();
        let held = match which.seconds {
            Some(_) => Some(trace::hold(socket, &tracer, &which.container).await?),
            None => None,
        };
        if let Some(seconds) = which.seconds {
            progress::wait(Duration::from_secs(seconds), "watching").await;
        }
        let of = format!("/v1/containers/{}", encode(&which.container));
        let view: View = client::json(socket, &of).await?;
        if !view.tracers.contains(&tracer) {
            bail!(
                "container {} does not have tracer {tracer}: start it with io.remora.trace={tracer}, or watch it now with --seconds N",
                printable(&view.name)
            );
        }
        let name = table["name"].as_str().unwrap_or_default();
        let mut answer: Value = client::json(socket, &format!("{of}/tables/{}", encode(name))).await?;
        let mut notes = caveats(&view, &tracer);
        if answer["truncated"] == true {
            notes.push("there are more rows than were read".into());
        }
        let rows = answer["rows"].as_array_mut().map(std::mem::take).unwrap_or_default();
        Ok(Self { view, table, rows, notes, _held: held })
    }

    /// Between when it was observed.
    fn span(&self) -> String {
        let ledger = &self.view.ledger;
        let to = ledger.observed_to.as_deref().unwrap_or("now");
        format!("observed from {} to {to}", ledger.observed_from)
    }

    /// The path of the field of this type, or of this name.
    fn field(&self, is: impl Fn(&Value) -> bool) -> anyhow::Result<String> {
        let mut fields = self.table["fields"].as_array().into_iter().flatten();
        let field = fields.find(|f| is(f)).and_then(|f| f["name"].as_str());
        field.map(str::to_owned).context("the table lacks a field that this is made of")
    }

    fn tell(&self) {
        eprintln!("remora: {} was {}", printable(&self.view.name), self.span());
        for note in &self.notes {
            eprintln!("remora: {}", printable(note));
        }
    }
}

/// Why less may have been seen than the container needs.
fn caveats(view: &View, tracer: &str) -> Vec<String> {
    let ledger = &view.ledger;
    let mut notes = Vec::new();
    if let Some(late) = &ledger.late {
        notes.push(format!("late ({late}): what it did before, its start above all, is missing"));
    }
    let changes = ledger.changes.iter().filter(|c| c.tracer == tracer);
    let changes: Vec<String> = changes.map(|c| format!("{} {}", c.change, c.at)).collect();
    if !changes.is_empty() {
        notes.push(format!("tracer {tracer} did not watch all the time: {}", changes.join(", ")));
    }
    let lost = ledger.tracers.get(tracer).map_or(0, |counts| counts.lost_other);
    if lost > 0 {
        notes.push(format!("{lost} times a table of tracer {tracer} was full: something is missing"));
    }
    notes
}

fn write(which: &Which, document: &Value) -> anyhow::Result<()> {
    let text = json_document(document, true) + "\n";
    match &which.output {
        None => io::stdout().lock().write_all(text.as_bytes())?,
        Some(path) => fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))?,
    }
    Ok(())
}
