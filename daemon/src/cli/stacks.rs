//! `remora stacks`, `remora flame`

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use inferno::flamegraph::{self, Options, color::MultiPalette, color::Palette};

use super::progress;
use crate::api::client;
use crate::decode::text::{json_document, printable};
use crate::stacks::profile::Profile;

#[derive(Debug, clap::Args)]
pub struct Which {
    /// Id, beginning of an id, or name.
    container: String,
    /// The table, where tracers of the container keep several with stacks.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Only what happens in the next so many seconds; else all since the container's start.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86400))]
    seconds: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora stacks web\n  remora stacks web --seconds 30 | flamegraph.pl >web.svg"
)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[arg(long, value_enum, default_value = "folded")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One stack a line, as flame graphs are made of.
    Folded,
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  remora flame web --seconds 30 -o web.svg")]
pub struct FlameArgs {
    #[command(flatten)]
    which: Which,
    /// The file to write; without any, standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let profile = fetch(&args.which, &socket).await?;
    match args.format {
        Format::Json => println!("{}", json_document(&profile, true)),
        Format::Folded => io::stdout().lock().write_all(profile.folded().as_bytes())?,
    }
    Ok(())
}

pub async fn flame(args: FlameArgs, socket: PathBuf) -> anyhow::Result<()> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!("a flame graph is an SVG file: say which with -o FILE");
    }
    let profile = fetch(&args.which, &socket).await?;
    let svg = draw(&profile, &args.which.container)?;
    match &args.output {
        None => io::stdout().lock().write_all(&svg)?,
        Some(path) => fs::write(path, svg).with_context(|| format!("failed to write {}", path.display()))?,
    }
    Ok(())
}

async fn fetch(which: &Which, socket: &Path) -> anyhow::Result<Profile> {
    let mut target = format!("/v1/containers/{}/stacks", client::encode(&which.container));
    if let Some(table) = &which.table {
        target += &format!("/{}", client::encode(table));
    }
    let mut profile: Profile = client::json(socket, &target).await?;
    if let Some(seconds) = which.seconds {
        progress::wait(Duration::from_secs(seconds), "watching").await;
        profile = client::json::<Profile>(socket, &target).await?.since(&profile);
    }
    for note in &profile.notes {
        eprintln!("remora: {}", printable(note));
    }
    Ok(profile)
}

fn draw(profile: &Profile, container: &str) -> anyhow::Result<Vec<u8>> {
    if profile.total == 0 {
        bail!("container {container} has no stacks yet");
    }
    let folded = profile.folded();
    let mut options = Options::default();
    options.title = printable(container);
    options.subtitle = Some(profile.table.clone());
    options.count_name.clone_from(&profile.unit);
    // Tells the kernel's functions by their mark.
    options.colors = Palette::Multi(MultiPalette::Java);
    options.deterministic = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut svg).context("failed to draw")?;
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stacks::profile::Line;

    #[test]
    fn what_a_container_is_called_does_not_break_the_drawing() {
        let line = Line {
            comm: "sh".into(),
            user: vec!["<b>&\"';\u{1b}".into()],
            kernel: vec!["sys_read".into()],
            value: 3,
        };
        let profile = Profile { samples: vec![line], total: 3, unit: "samples".into(), ..Profile::default() };
        let svg = String::from_utf8(draw(&profile, "<c>\u{1b}").unwrap()).unwrap();
        assert!(svg.contains("sys_read") && svg.contains("&lt;b&gt;&amp;"), "{svg}");
        assert!(!svg.contains("<b>") && !svg.contains("<c>") && !svg.contains('\u{1b}'), "{svg}");
        assert!(draw(&Profile::default(), "c").is_err());
    }
}
