//! `remora attach` and `remora detach`: what no container manager started.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use hyper::{Method, body::Bytes};
use serde_json::Value;

use crate::api::client::{self, encode};
use crate::decode::text::printable;
use crate::registry::{attach::Wish, record::View};
use crate::tracer::params::{ParamValue, Values};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora attach --unit nginx.service\n  remora attach --pid 4711 --name worker --trace exec,tcp"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Name shown in events; by default the unit's, the cgroup's, or the process's with its number.
    #[arg(long)]
    name: Option<String>,
    /// Tracers or groups.
    #[arg(long, value_name = "LIST", default_value = "default")]
    trace: String,
    /// A parameter of a tracer; may be given several times.
    #[arg(long, value_name = "TRACER.NAME=VALUE")]
    param: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// A unit of the system's systemd; each of its starts is followed, also later ones.
    #[arg(long)]
    unit: Option<String>,
    /// The cgroup that this process is in.
    #[arg(long)]
    pid: Option<u32>,
    /// A cgroup, by its folder or as /proc/PID/cgroup has it.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  remora detach nginx.service")]
pub struct DetachArgs {
    /// Name or id, as `remora ps` shows them.
    #[arg(value_name = "NAME|ID")]
    wanted: String,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let Target { unit, pid, cgroup } = args.target;
    let params = params(&args.param)?;
    let wish = Wish { unit, pid, cgroup, name: args.name, trace: args.trace, params };
    let body = serde_json::to_vec(&wish)?;
    let view: View = client::answer(&socket, Method::POST, "/v1/containers", body.into()).await?;
    println!("{}", said(&view));
    Ok(())
}

pub async fn detach(args: DetachArgs, socket: PathBuf) -> anyhow::Result<()> {
    let target = format!("/v1/containers/{}", encode(&args.wanted));
    let answer: Value = client::answer(&socket, Method::DELETE, &target, Bytes::new()).await?;
    println!("{}: detached", printable(answer["detached"].as_str().unwrap_or(&args.wanted)));
    Ok(())
}

fn said(view: &View) -> String {
    let (name, tracers) = (printable(&view.name), view.tracers.join(","));
    let remarks = view.ledger.late.iter().chain(&view.ledger.notes).map(|r| printable(r));
    let remarks = remarks.collect::<Vec<_>>().join("; ");
    let head = if view.state == "pending" { "pending" } else { "in scope" };
    match remarks.is_empty() {
        true => format!("{name}: {head} for {tracers}"),
        false => format!("{name}: {head} for {tracers} ({remarks})"),
    }
}

fn params(given: &[String]) -> anyhow::Result<BTreeMap<String, Values>> {
    let mut all: BTreeMap<String, Values> = BTreeMap::new();
    for param in given {
        let parts = param.split_once('=').and_then(|(path, value)| Some((path.split_once('.')?, value)));
        let ((tracer, name), value) = parts.with_context(|| format!("{param:?} is not TRACER.NAME=VALUE"))?;
        let value = ParamValue::Text(value.to_owned());
        all.entry(tracer.to_owned()).or_default().insert(name.to_owned(), value);
    }
    Ok(all)
}
