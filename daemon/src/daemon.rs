//! The daemon's life: check, load, take up, serve, leave.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::Ordering::Relaxed,
};

use anyhow::{Context, bail};
use futures_util::future::join_all;
use tokio::{
    signal::unix::{Signal, SignalKind},
    sync::mpsc,
};

use crate::api::{self, Api};
use crate::config::Config;
use crate::directory::Directory;
use crate::event::Hub;
use crate::history;
use crate::host::{cgroup::CgroupRoot, prerequisites, proc};
use crate::manager::{self, desk::Desk};
use crate::otlp;
use crate::ring::{Reader, Running};
use crate::scope::{Scope, abi, mapped::Mapped};
use crate::tracer::{Engine, keep::Keep, settings::Configured, settings::Settings};
use crate::worker::Worker;
use crate::{alert, intake, registry, sink, stacks};

mod listen;
mod news;

/// Below bpffs; another contract between daemon and kernel means another folder.
pub fn pins(config: &Config) -> PathBuf {
    config.bpffs.join("remora").join(format!("v{}", abi::ABI))
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the file again.
pub fn run(config: Config, path: Option<&Path>) -> anyhow::Result<()> {
    // One arena: threads here allocate little, and each arena costs memory for good.
    // SAFETY: sets a number in the allocator, before there are other threads.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    require(&config)?;
    let _lock = lock(&config)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(serve(Arc::new(config), path))
}

/// What the host lacks, with advice.
#[derive(Debug, thiserror::Error)]
#[error("this host cannot run remora:\n  {0}")]
pub struct Unfit(String);

/// Every prerequisite once and first, each failure with what to do about it.
fn require(config: &Config) -> anyhow::Result<()> {
    if let Err(e) = prerequisites::mount_bpffs(&config.bpffs) {
        tracing::warn!("failed to mount bpffs at {}: {e}", config.bpffs.display());
    }
    let mut missing = Vec::new();
    for finding in prerequisites::check(config) {
        if finding.ok {
            tracing::debug!("{}: {}", finding.name, finding.detail);
        } else if finding.required {
            missing.push(format!("{}: {}; {}", finding.name, finding.detail, finding.advice));
        } else {
            tracing::info!("{}: {}; {}", finding.name, finding.detail, finding.advice);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Unfit(missing.join("\n  ")).into()) }
}

/// Two daemons on the same state would undo each other's work.
fn lock(config: &Config) -> anyhow::Result<nix::fcntl::Flock<fs::File>> {
    for dir in [&config.run_dir, &config.state_dir] {
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    }
    let path = config.run_dir.join("daemon.lock");
    let file = fs::File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|(_, e)| anyhow::anyhow!("failed to lock {}: another daemon runs ({e})", path.display()))
}

struct Parts {
    registry: registry::Handle,
    desk: Desk,
    thread: std::thread::JoinHandle<()>,
    reader: Running,
    /// Dropped behind the reader: it stores what that has read to the last.
    history: Option<Worker>,
    /// Likewise, and before that: what it has not had may be stored.
    alerts: Option<Worker>,
    api: Api,
}

async fn serve(config: Arc<Config>, path: Option<&Path>) -> anyhow::Result<()> {
    // From here on it is no reason to end.
    let mut hangup = tokio::signal::unix::signal(SignalKind::hangup())?;
    let hook = listen::hook(&config)?;
    let api_socket = listen::api(&config)?;
    let remotes = api::remote::Remote::all(&config.api)?;
    let parts = assemble(&config)?;
    let epoch = parts.api.kept[0].epoch.load(Relaxed);
    let file = match &config.events.file {
        Some(path) => Some(
            sink::FileSink::open(path, config.events.file_max_bytes, epoch)
                .with_context(|| format!("failed to open event file {}", path.display()))?,
        ),
        None => None,
    };
    let export = otlp::start(&config.otlp, &config.state_dir, parts.api.clone())?;
    let hub = parts.api.hub.clone();
    let faces = async {
        let write = async {
            match file {
                Some(file) => file.run(hub).await,
                None => std::future::pending().await,
            }
        };
        let remote = async {
            join_all(remotes.into_iter().map(|remote| remote.serve(parts.api.clone()))).await;
            std::future::pending().await
        };
        tokio::select! {
            () = intake::serve(hook, config.hook.clone(), parts.desk.clone()) => {}
            () = intake::replay(config.state_dir.join("spool"), parts.desk.clone()) => {}
            () = manager::watch::all(parts.desk.clone()) => {}
            () = heed(&config, path, &mut hangup, &parts) => {}
            () = remote => {}
            () = api::serve(api_socket, parts.api.clone()) => {}
            () = news::serve_nri(&config, &parts.desk) => {}
            () = write => {}
        }
    };
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    parts.desk.mark();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    tokio::select! {
        () = faces => bail!("a listener ended"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping; links and maps stay pinned");
    parts.desk.unmark();
    drop(export);
    parts.registry.stop().await;
    let _ = parts.thread.join();
    drop(parts.reader);
    drop(parts.alerts);
    drop(parts.history);
    Ok(())
}

/// Reads the configuration, and files of rules, again whenever it is told to.
async fn heed(config: &Config, path: Option<&Path>, hangup: &mut Signal, parts: &Parts) {
    let desk = &parts.desk;
    scan_if(config.scan.at_start, config, desk, "found running when the daemon started").await;
    while hangup.recv().await.is_some() {
        if let Some(alerts) = &parts.api.alerts {
            alerts.reload().await;
        }
        let before = desk.rules();
        desk.reload(config, path).await;
        let changed = *before != *desk.rules();
        scan_if(changed && config.scan.at_start, config, desk, "found when the rules changed").await;
    }
}

async fn scan_if(yes: bool, config: &Config, desk: &Desk, why: &str) {
    if yes {
        registry::scan::run(&config.scan.runtime_roots, desk, why).await;
    }
}

fn assemble(config: &Arc<Config>) -> anyhow::Result<Parts> {
    let cgroups = CgroupRoot::discover()?;
    let pins = pins(config);
    let ring = u32::try_from(config.limits.ring_bytes)?;
    let scope = Scope::open(config.limits.containers, config.limits.nested, ring, Some(&pins))?;
    let shared = scope.shared.clone();
    if (shared.containers, shared.ring_bytes) != (config.limits.containers, ring) {
        tracing::warn!(
            "limits.containers and limits.ring_bytes are those of the pinned maps until `remora reset`"
        );
    }
    let kept: Arc<Mapped<abi::Reader>> = Arc::new(Mapped::new(shared.handle("remora_reader")?, 1)?);
    let _ = kept[0].epoch.compare_exchange(0, remora_wire::time::unix_ns().max(1), Relaxed, Relaxed);
    let (directory, hub) = (Directory::default(), Hub::new(usize::try_from(config.limits.history_bytes)?));
    let boot = proc::boot_id();
    let keep = Keep::new(&pins.join("tracers"), &config.state_dir.join("tracers"), boot.clone())?;
    let mut engine = Engine::new(
        shared.clone(),
        directory.clone(),
        keep,
        kept.clone(),
        Settings::load(&config.state_dir, configured(config))?,
        config.tracers.detach_after,
    )?;
    engine.add_all(&config.tracers_dir);
    engine.preload(&config.tracers.preload);
    let places = scope.containers();
    let (gone, removals) = mpsc::unbounded_channel();
    let fd = shared.handle("remora_ring")?.as_fd().try_clone_to_owned()?;
    let reader = Reader::new(
        fd,
        shared.ring_bytes,
        places.clone(),
        kept.clone(),
        directory.clone(),
        hub.clone(),
        gone,
    )?;
    let stacks = stacks::Handle::start(places.clone(), stacks_file(config), &boot)?;
    let mut teller = history::Teller::default();
    let (ends, last_words) = (teller.listen(config.history.enabled), teller.listen(config.alerts.enabled));
    let (registry, thread) = registry::Registry::start(
        config.clone(),
        cgroups,
        scope,
        engine,
        directory,
        stacks.clone(),
        boot,
        removals,
        teller,
    )?;
    // Who was in scope is so again: programs of another version have nothing more to say.
    remove_other_versions(config);
    // Only now that everybody is known again may what waits in the ring be read.
    let reader = reader.start()?;
    let (managers, marker) = (manager::all(&config.managers), config.run_dir.join("ask"));
    let desk = Desk::new(managers, config.rules(), config.managers.timeout, registry.clone(), marker);
    let ring_bytes = shared.ring_bytes;
    let runtime_roots = config.scan.runtime_roots.as_slice().into();
    let stored = ends.is_some().then(|| history::Handle::new(&config.state_dir, kept[0].epoch.load(Relaxed)));
    let history = match (ends, &stored) {
        (Some(ends), Some(handle)) => {
            let (handle, hub) = (handle.clone(), hub.clone());
            Some(history::start(&config.history, handle, hub, registry.clone(), ends)?)
        }
        _ => None,
    };
    let (registry_handle, desk_handle) = (registry.clone(), desk.clone());
    let (alerts, starting) = if config.alerts.enabled {
        let dir = config.state_dir.join(alert::FOLDER);
        let (handle, starting) =
            alert::open(config).with_context(|| format!("failed to open {}", dir.display()))?;
        (Some(handle), Some(starting))
    } else {
        (None, None)
    };
    let api = Api {
        registry: registry_handle,
        desk: desk_handle,
        hub,
        history: stored,
        otlp: config.otlp.endpoint.is_some().then(otlp::Handle::default),
        alerts,
        stacks,
        kept,
        places,
        ring_bytes,
        counts: Arc::default(),
        runtime_roots,
        map_in_metrics: config.metrics.topology,
    };
    let alerts = match (starting, last_words) {
        (Some(starting), Some(ends)) => Some(alert::start(config.clone(), api.clone(), starting, ends)?),
        _ => None,
    };
    Ok(Parts { registry, desk, thread, reader, history, alerts, api })
}

fn configured(config: &Config) -> Configured {
    let tracers = &config.tracers;
    Configured { params: tracers.params.clone(), budget: tracers.budget, budgets: tracers.budgets.clone() }
}

/// Pins of daemons with another contract, before or after this one: their programs would run for ever.
fn remove_other_versions(config: &Config) {
    let ours = pins(config);
    for entry in fs::read_dir(config.bpffs.join("remora")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == ours {
            continue;
        }
        tracing::warn!("removing {}, which a daemon of another version left", path.display());
        if let Err(e) = fs::remove_dir_all(&path) {
            tracing::error!("failed to remove {}: {e}", path.display());
        }
    }
}

fn stacks_file(config: &Config) -> PathBuf {
    config.state_dir.join("stacks.json")
}

/// Removes everything that outlives the daemon: pins, sockets, and state unless it is to be kept. For uninstalling.
pub fn reset(config: &Config, keep_state: bool) -> anyhow::Result<()> {
    let _lock = lock(config)?;
    let remove = |path: &Path| match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    };
    remove(&config.bpffs.join("remora"))?;
    for file in [&config.hook.socket, &config.api.socket, &config.run_dir.join("ask")] {
        let _ = fs::remove_file(file);
    }
    if keep_state {
        return Ok(());
    }
    for sub in [
        "containers",
        "ended",
        "tracers",
        "objects",
        "spool",
        history::FOLDER,
        alert::FOLDER,
        alert::PROFILES,
    ] {
        remove(&config.state_dir.join(sub))?;
    }
    for file in ["changes.json", "attached.json", "otlp.json"] {
        let _ = fs::remove_file(config.state_dir.join(file));
    }
    let _ = fs::remove_file(stacks_file(config));
    Ok(())
}
