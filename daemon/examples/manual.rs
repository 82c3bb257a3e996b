//! manual OUT: man pages and shell completions, made from the command line's own description; `make manual`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use remora::cli::Cli;

const EXAMPLE: &str = include_str!("../../examples/remora.toml");

fn main() -> anyhow::Result<()> {
    let out: PathBuf = std::env::args_os().nth(1).context("usage: manual OUT")?.into();
    let (man, completions) = (out.join("man"), out.join("completions"));
    for dir in [&man, &completions] {
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    }
    // Pages as wide as the reader's terminal, not as this one.
    let command = Cli::command().disable_help_subcommand(true).term_width(80);
    clap_mangen::generate_to(command.clone(), &man).context("failed to write man pages")?;
    write(&man.join("remora.toml.5"), &settings())?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command.clone(), "remora", &completions)
            .with_context(|| format!("failed to write completions of {shell}"))?;
    }
    Ok(())
}

/// The documented example is the reference.
fn settings() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let escape = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    let text: Vec<String> = EXAMPLE.lines().map(escape).collect();
    format!(
        ".TH remora.toml 5 \"\" \"remora {version}\"\n.SH NAME\nremora.toml \\- configuration of remora\n\
         .SH DESCRIPTION\nEvery key there is, each with its default.\n.PP\n.nf\n{}\n.fi\n\
         .SH FILES\n/etc/remora/remora.toml\n.SH SEE ALSO\n.BR remora (1)\n",
        text.join("\n")
    )
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}
