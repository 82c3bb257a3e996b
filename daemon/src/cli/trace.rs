//! `remora trace`: a tracer for as long as somebody looks. The daemon takes it back when the connection ends, so that
//! nothing is left of a command that is killed.

use std::path::{Path, PathBuf};

use hyper::{
    Method,
    body::{Bytes, Incoming},
};

use super::Format;
use super::events::Printer;
use crate::api::client::{self, encode};
use crate::decode::text::printable;
use crate::registry::record::View;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora trace exec web\n  remora trace tcp 4f2a91c0 --format json | jq .\n  remora trace file web -n 100"
)]
pub struct Args {
    /// The tracer; `remora tracers` lists them.
    tracer: String,
    /// Id, beginning of an id, or name; it need not have opted in.
    container: String,
    /// End after this many events.
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let mut printer = Printer::new(args.format, args.count, &socket).await?;
    let body = hold(&socket, &args.tracer, &args.container).await?;
    eprintln!("remora: {} of {}, until Ctrl-C or its end", args.tracer, printable(&args.container));
    let result = tokio::select! {
        result = printer.drain(body) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let lost = lost(&socket, &args).await;
    eprintln!("remora: {} events{}", printer.printed, lost.unwrap_or_default());
    result
}

/// Has the tracer on for as long as the answer is kept.
pub async fn hold(socket: &Path, tracer: &str, container: &str) -> anyhow::Result<Incoming> {
    let target = format!("/v1/containers/{}/tracers/{}/hold", encode(container), encode(tracer));
    client::exchange(socket, Method::POST, &target, &[client::SSE], Bytes::new()).await
}

/// What its ledger says is missing.
async fn lost(socket: &Path, args: &Args) -> Option<String> {
    let view: View =
        client::json(socket, &format!("/v1/containers/{}", encode(&args.container))).await.ok()?;
    let counts = view.ledger.tracers.get(&args.tracer)?;
    (counts.lost() > 0).then(|| format!(", and {} lost since the container has this tracer", counts.lost()))
}
