//! `remora doctor`: what works here, what does not, why, and what to do.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::Serialize;
use serde_json::Value;

use super::check;
use crate::api::client;
use crate::config::Config;
use crate::decode::text::{json_document, printable};
use crate::host::prerequisites::{self, Finding, Verdict, failed};
use crate::setup::{self, Runtime, Standing};
use crate::tracer::ObjectFile;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora doctor\n  sudo remora doctor --format json | jq '.[].findings[] | select(.ok == false)'"
)]
pub struct Args {
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Serialize)]
struct Section {
    name: &'static str,
    findings: Vec<Finding>,
}

/// Fails if something is missing without which nothing works.
pub async fn run(args: Args, config: Config, socket: PathBuf) -> anyhow::Result<ExitCode> {
    let daemon = daemon(&config, &socket).await;
    let runs = daemon.iter().all(|f| !f.fatal());
    let host = host(&config, runs);
    let may_load = nix::unistd::geteuid().is_root() && !host.iter().any(Finding::fatal);
    let sections = [
        Section { name: "host", findings: host },
        Section { name: "daemon", findings: daemon },
        Section { name: "managers", findings: managers(&config) },
        Section { name: "runtimes", findings: runtimes() },
        Section { name: "tracers", findings: tracers(&config, &socket, runs, may_load).await },
    ];
    match args.format {
        Format::Json => println!("{}", json_document(&sections, true)),
        Format::Text => sections.iter().for_each(print),
    }
    let fatal = sections.iter().flat_map(|s| &s.findings).any(Finding::fatal);
    Ok(if fatal { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(section: &Section) {
    println!("{}", section.name);
    for finding in &section.findings {
        println!("  {}", line(finding));
    }
}

/// A finding as a person reads it.
pub fn line(finding: &Finding) -> String {
    let mark = match (finding.ok, finding.required) {
        (true, _) => "ok",
        (false, true) => "MISSING",
        (false, false) => "note",
    };
    let advice =
        if finding.ok || finding.advice.is_empty() { String::new() } else { format!("; {}", finding.advice) };
    printable(&format!("{mark:8} {}: {}{advice}", finding.name, finding.detail))
}

/// What only the daemon needs is no matter of who asks, while the daemon runs.
fn host(config: &Config, runs: bool) -> Vec<Finding> {
    const ITS_OWN: [&str; 3] = ["capabilities", "memlock", "bpffs"];
    let mut findings = prerequisites::check(config);
    findings.retain(|f| f.ok || !runs || !ITS_OWN.contains(&&*f.name));
    findings
}

async fn daemon(config: &Config, socket: &Path) -> Vec<Finding> {
    let mut findings = vec![Finding::new("API", true, api(socket).await)];
    let hook = &config.hook.socket;
    let hook = match is_listening(hook) {
        true => Ok(format!("listens at {}", hook.display())),
        false => failed(
            format!("nobody listens at {}", hook.display()),
            "start the daemon: systemctl enable --now remora-hook.socket remora",
        ),
    };
    findings.push(Finding::new("hook's socket", true, hook));
    let rights = match nix::unistd::geteuid().is_root() {
        true => Ok("you may change everything".into()),
        false => failed("you may look, but not change anything", "only root may"),
    };
    findings.push(Finding::new("rights", false, rights));
    findings
}

/// Without a call, which would start a daemon that waits for one.
fn is_listening(socket: &Path) -> bool {
    const ACCEPTS: u32 = 1 << 16;
    let listens = |line: &str| {
        let mut words = line.split_whitespace();
        let flags = words.nth(3).and_then(|w| u32::from_str_radix(w, 16).ok());
        flags.is_some_and(|flags| flags & ACCEPTS != 0) && words.nth(3).map(Path::new) == Some(socket)
    };
    std::fs::read_to_string("/proc/net/unix").is_ok_and(|all| all.lines().any(listens))
}

async fn api(socket: &Path) -> Verdict {
    use std::io::ErrorKind;
    let at = socket.display();
    match tokio::net::UnixStream::connect(socket).await {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return failed(
                format!("you may not open {at}"),
                "become a member of the group that owns it: usermod -aG remora YOU, and log in again",
            );
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return failed(format!("no socket at {at}"), "start the daemon: systemctl enable --now remora");
        }
        Err(e) => {
            return failed(
                format!("failed to connect to {at}: {e}"),
                "see why the daemon does not run: journalctl -u remora",
            );
        }
    }
    let answer = client::json::<Value>(socket, "/v1/version").await;
    let own = env!("CARGO_PKG_VERSION");
    match answer.as_ref().map(|v| v["version"].as_str().unwrap_or_default()) {
        Ok(version) if version == own => Ok(format!("version {version} answers at {at}")),
        Ok(version) => failed(
            format!("the daemon at {at} is version {version}, and this is {own}"),
            "restart it: systemctl restart remora",
        ),
        Err(e) => failed(format!("no answer at {at}: {e:#}"), "see what it does: journalctl -u remora"),
    }
}

fn managers(config: &Config) -> Vec<Finding> {
    let found = setup::managers();
    let mut any = false;
    let mut findings = Vec::new();
    for (program, ways) in &found {
        let standings: Vec<(Runtime, Standing)> = ways.iter().map(|way| (*way, Standing::of(*way))).collect();
        let verdict = knows(config, &standings);
        any |= verdict.is_ok();
        let version = program.version().unwrap_or_else(|e| format!("{e:#}"));
        let verdict = match verdict {
            Ok(how) => Ok(format!("{version}: {how}")),
            Err((why, advice)) => failed(format!("{version}: {why}"), advice),
        };
        findings.push(Finding::new(program.name, false, verdict));
    }
    if found.is_empty() {
        let what = failed(
            "none found",
            "`remora run` and `remora attach` work without; for others see remora install-runtime --help",
        );
        findings.push(Finding::new("managers", false, what));
    } else if !any {
        let what = failed(
            "no manager calls it: containers that start are not traced from their first exec",
            "remora install-runtime NAME",
        );
        findings.push(Finding::new("hook", true, what));
    }
    findings
}

/// Of several ways one is enough.
fn knows(config: &Config, standings: &[(Runtime, Standing)]) -> Verdict {
    let counts = |way: Runtime| way != Runtime::ContainerdNri || config.managers.nri.enabled;
    let is = |wanted: &Standing| standings.iter().find(|(way, s)| s == wanted && counts(*way));
    if let Some((way, _)) = is(&Standing::Known) {
        return Ok(match way {
            Runtime::ContainerdNri => "calls the hook for pods that opt in (NRI)".into(),
            _ => "calls the hook for containers that opt in".into(),
        });
    }
    if let Some((way, _)) = is(&Standing::Otherwise) {
        let look = format!("remora install-runtime {} --dry-run", way.name());
        return Ok(format!("calls the hook, set up by hand or by another version (to compare: {look})"));
    }
    if let Some((way, _)) = is(&Standing::Unknown) {
        return failed(
            "does not know remora: its containers are found late, or not at all",
            format!("remora install-runtime {}", way.name()),
        );
    }
    let unclear =
        standings.iter().find_map(|(_, s)| if let Standing::Unclear(why) = s { Some(why) } else { None });
    let why = unclear.map_or("there is no way to tell it", String::as_str);
    let look = if nix::unistd::geteuid().is_root() { "" } else { "look as root" };
    failed(format!("it cannot be told whether it calls the hook: {why}"), look)
}

fn runtimes() -> Vec<Finding> {
    let verdict = |program: &setup::Program| {
        let version =
            program.version().map_err(|e| (format!("{e:#}"), "see why it does not run".to_owned()))?;
        match program.name {
            "runsc" | "kata-runtime" => failed(
                format!("{version}: its containers' processes are another kernel's"),
                "what is done within them is not seen; use runc or crun for what is to be traced",
            ),
            _ => Ok(version),
        }
    };
    let all: Vec<Finding> =
        setup::runtimes().iter().map(|p| Finding::new(p.name, false, verdict(p))).collect();
    if all.is_empty() {
        let none = failed("none found", "install runc or crun, if containers are to run here");
        return vec![Finding::new("runtimes", false, none)];
    }
    all
}

async fn tracers(config: &Config, socket: &Path, runs: bool, may_load: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if runs {
        findings.extend(of_daemon(socket).await.unwrap_or_default());
    }
    if may_load {
        findings.extend(tried(config));
    } else {
        let not = failed(
            "not tried here: loading them needs root, and what is required of the host",
            "run this as root",
        );
        findings.push(Finding::new("loading", false, not));
    }
    findings
}

/// Those that the daemon could not give to those who wanted them.
async fn of_daemon(socket: &Path) -> anyhow::Result<Vec<Finding>> {
    let all: Vec<Value> = client::json(socket, "/v1/tracers").await?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let failed_ones = all.iter().filter(|t| t["state"] == "failed" || t["state"] == "stopped").map(|t| {
        let (detail, advice) = match t["problem"].as_str() {
            Some(problem) => {
                (format!("the daemon failed to load it: {problem}"), "remora check FILE says more")
            }
            None => (format!("stopped: {}", text(&t["stopped"])), "remora tracer start NAME"),
        };
        Finding::new(text(&t["name"]), false, failed(detail, advice))
    });
    Ok(failed_ones.collect())
}

/// Loads each, attached to nothing.
fn tried(config: &Config) -> Vec<Finding> {
    let scope = match check::scratch() {
        Ok(scope) => scope,
        Err(e) => {
            return vec![Finding::new("loading", true, failed(format!("{e:#}"), "see the lines above"))];
        }
    };
    let own = ObjectFile::embedded().into_iter().map(|file| (file.origin.clone(), Ok(file)));
    let folder = ObjectFile::folder(&config.tracers_dir).into_iter();
    let others = folder.map(|(path, file)| (path.display().to_string(), file));
    let (mut good, mut findings) = (0, Vec::new());
    for (origin, file) in own.chain(others) {
        let loaded = file.map_err(anyhow::Error::from).and_then(|file| check::load(&file, &scope));
        match loaded {
            Ok(_) => good += 1,
            Err(e) => {
                let bad = failed(
                    format!("this kernel does not take it: {e:#}"),
                    "see docs/kernels.md for what it needs",
                );
                findings.push(Finding::new(origin, false, bad));
            }
        }
    }
    let verdict = match good {
        0 => failed("none can be loaded here", "see above for why"),
        n => Ok(format!("{n} can be loaded here, {} cannot", findings.len())),
    };
    findings.insert(0, Finding::new("loading", true, verdict));
    findings
}
