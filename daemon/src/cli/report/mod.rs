//! `remora report`

pub mod document;
mod html;
pub mod text;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::Value;

use crate::api::client;
use crate::decode::text::json_document;
use crate::report::Report;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora report web\n  remora report web --format html > web.html\n  remora report web --format json | jq .sections"
)]
pub struct Args {
    /// Id, beginning of an id, or name: that of one that ended, too.
    container: String,
    /// `html` is one file that needs nothing else.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let target = format!("/v1/containers/{}/report", client::encode(&args.container));
    let answer: Value = client::json(&socket, &target).await?;
    let text = match args.format {
        Format::Json => json_document(&answer, true) + "\n",
        Format::Text => text::render(&document::of(&serde_json::from_value::<Report>(answer)?)),
        Format::Html => html::render(&document::of(&serde_json::from_value::<Report>(answer)?)),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
