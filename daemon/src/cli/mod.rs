//! The command line.

mod advise;
mod alerts;
mod attach;
mod check;
mod doctor;
mod events;
mod host;
mod map;
mod markdown;
mod meanings;
mod profile;
mod progress;
mod ps;
mod replay;
mod report;
mod rows;
mod rules;
mod run;
mod runtime;
mod stacks;
mod table;
mod top;
mod trace;
mod tracer;
mod tracers;
mod web;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::daemon::Unfit;
use crate::stacks::child;
use crate::tracer::trial;

/// Tells what this container does, from its first exec to its last exit.
#[derive(Debug, Parser)]
#[command(name = "remora", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Socket of the daemon's API, instead of the configured one.
    #[arg(long, global = true, value_name = "PATH", env = "REMORA_API_SOCKET")]
    api_socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    #[command(
        after_help = "Example:\n  REMORA_LOG=info,remora=debug remora --config /etc/remora/remora.toml daemon"
    )]
    Daemon,
    /// List containers in scope, and those that ended lately.
    Ps(ps::Args),
    /// Watch containers and tracers on the whole terminal.
    Top(top::Args),
    /// Show events as they come, or the recent past.
    Events(events::Args),
    /// Trace a container that runs, for as long as this command does.
    Trace(trace::Args),
    /// Say what a container did: executed, opened, connected to, asked, used; and how complete that is.
    Report(report::Args),
    /// List tracers, their events, metrics and state.
    Tracers(tracers::Args),
    /// Start, stop, load, replace and remove tracers, and set their parameters, while everything runs.
    Tracer(tracer::Args),
    /// Show a table of a container, or list the tables there are.
    Table(rows::Args),
    /// Show what a container's processors were found doing, one stack a line.
    Stacks(stacks::Args),
    /// Draw that as a flame graph.
    Flame(stacks::FlameArgs),
    /// Draw who talks to whom on this node.
    Map(map::Args),
    /// Make a seccomp profile, a list of capabilities or a NetworkPolicy of what a container has done.
    Advise(advise::Args),
    /// List incidents: what rules and learned profiles found worth telling; or show one.
    Alerts(alerts::Args),
    /// List, check and test rules, and have them read anew.
    Rules(rules::Args),
    /// Show, compare, pin and exchange what is known of images.
    Profile(profile::Args),
    /// Run recorded events through rules, profiles and incidents, as the daemon would have.
    Replay(replay::Args),
    /// Say what works on this host, what does not, why, and what to do.
    Doctor(doctor::Args),
    /// Serve the page to a browser on this machine, for who may open the API's socket.
    Web(web::Args),
    /// Check the configuration, the host, or BPF objects.
    Check(check::Args),
    /// Run a command in a cgroup of its own, traced from its first exec.
    Run(run::Args),
    /// Tell a container manager about remora: shows what would change, asks, and can be undone.
    #[command(
        after_help = "Examples:\n  remora install-runtime podman --dry-run\n  remora install-runtime docker --default"
    )]
    InstallRuntime(runtime::Args),
    /// Take that back; before the binaries are removed.
    #[command(after_help = "Example:\n  remora uninstall-runtime podman")]
    UninstallRuntime(runtime::Args),
    /// Trace a systemd unit, or the cgroup of a process, as if it were a container.
    Attach(attach::Args),
    /// End that.
    Detach(attach::DetachArgs),
    /// Install the hook on a host from within a container, or remove it.
    Host(host::Args),
    /// Remove what outlives the daemon: pinned programs and maps, state, sockets.
    Reset(ResetArgs),
    /// Print the description of the API, OpenAPI 3.1.
    #[command(after_help = "Example:\n  remora openapi >openapi.json")]
    Openapi,
    /// Print the version.
    Version,
    /// Find out whether an object can be looked into; the daemon's own use.
    #[command(name = trial::COMMAND, hide = true)]
    Trial,
    /// Look for the names of functions in containers' programs; the daemon's own use.
    #[command(name = child::COMMAND, hide = true)]
    Symbolize,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  systemctl stop remora && remora reset --keep-state")]
struct ResetArgs {
    /// Only what runs or is listened on: programs, maps and sockets, not ledgers and settings.
    #[arg(long)]
    keep_state: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        // A reader that has had enough, as in `remora events | head`, is no failure.
        Err(e) if broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("remora: {}", crate::decode::text::printable(&format!("{e:#}")).replace("\\n", "\n"));
            // EX_CONFIG of sysexits.h: trying again changes nothing, and the unit does not.
            let hopeless = e.downcast_ref::<ConfigError>().is_some() || e.downcast_ref::<Unfit>().is_some();
            ExitCode::from(if hopeless { 78 } else { 1 })
        }
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |e: &(dyn std::error::Error + 'static)| e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error.chain().any(|e| kind(e) == Some(std::io::ErrorKind::BrokenPipe))
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = || Config::load(self.config.as_deref()).context("failed to load the configuration");
        let socket = || {
            anyhow::Ok(match &self.api_socket {
                Some(path) => path.clone(),
                None => config()?.api.socket,
            })
        };
        match self.command {
            Command::Daemon => {
                let config = config()?;
                log(&config)?;
                crate::daemon::run(config, self.config.as_deref())?;
            }
            Command::Ps(args) => wait(ps::run(args, socket()?))?,
            Command::Top(args) => wait(top::run(args, socket()?))?,
            Command::Events(args) => wait(events::run(args, socket()?))?,
            Command::Trace(args) => wait(trace::run(args, socket()?))?,
            Command::Report(args) => wait(report::run(args, socket()?))?,
            Command::Tracers(args) => wait(tracers::run(args, socket()?))?,
            Command::Tracer(args) => wait(tracer::run(args, socket()?))?,
            Command::Table(args) => wait(rows::run(args, socket()?))?,
            Command::Stacks(args) => wait(stacks::run(args, socket()?))?,
            Command::Flame(args) => wait(stacks::flame(args, socket()?))?,
            Command::Map(args) => wait(map::run(args, socket()?))?,
            Command::Advise(args) => wait(advise::run(args, socket()?))?,
            Command::Alerts(args) => wait(alerts::run(args, socket()?))?,
            Command::Rules(args) => return rules::run(args, config, socket),
            Command::Profile(args) => wait(profile::run(args, socket))?,
            Command::Replay(args) => replay::run(&args, &config()?)?,
            Command::Web(args) => wait(web::run(args, socket()?))?,
            Command::Attach(args) => wait(attach::run(args, socket()?))?,
            Command::Detach(args) => wait(attach::detach(args, socket()?))?,
            Command::Doctor(args) => return wait(doctor::run(args, config()?, socket()?)),
            Command::Check(args) => return check::run(&args, config),
            Command::Run(args) => return run::run(args, &config()?),
            Command::InstallRuntime(args) => runtime::install(&args)?,
            Command::UninstallRuntime(args) => runtime::uninstall(&args)?,
            Command::Host(args) => host::run(args)?,
            Command::Reset(args) => crate::daemon::reset(&config()?, args.keep_state)?,
            Command::Trial => trial::child()?,
            Command::Symbolize => child::child()?,
            Command::Openapi => {
                std::io::Write::write_all(&mut std::io::stdout(), &crate::api::description::text())?
            }
            Command::Version => println!("remora {}", env!("CARGO_PKG_VERSION")),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn wait<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn log(config: &Config) -> anyhow::Result<()> {
    use std::io::IsTerminal;
    use tracing_subscriber::{
        filter::{LevelFilter, Targets},
        layer::SubscriberExt,
        util::SubscriberInitExt,
    };
    let filter = std::env::var("REMORA_LOG").unwrap_or_else(|_| config.log.clone());
    let filter: Targets = filter.parse().with_context(|| format!("log = {filter:?}"))?;
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    // Levels are the filter's to decide.
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(std::io::stderr);
    let log = log.with_ansi(!plain);
    // The journal dates its lines itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().finish().with(filter).init()
    } else {
        log.finish().with(filter).init()
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn each_command_shows_how_it_is_used() {
        Cli::command().debug_assert();
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "version");
        for one in shown {
            let help = one.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example") && help.contains(one.get_name()), "{}: {help}", one.get_name());
        }
    }
}
