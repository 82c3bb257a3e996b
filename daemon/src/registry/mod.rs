//! Who is in scope. One thread owns the truth; everybody else holds a handle and asks.

pub mod attach;
pub mod change;
mod container;
mod escape;
pub mod hold;
mod known;
mod life;
pub mod record;
mod register;
mod restore;
pub mod scan;
mod store;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
    thread::JoinHandle,
    time::Instant,
};

use remora_wire::{Ack, Notice};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::directory::Directory;
use crate::history::{Left, Teller};
use crate::host::cgroup::CgroupRoot;
use crate::metrics::files::Files;
use crate::oci::Identity;
use crate::ring::Gone;
use crate::scope::Scope;
use crate::stacks::{self, Minder};
use crate::tracer::Engine;
use crate::tracer::{change::ChangeError, engine::Meter, view::TracerView};
use change::Change;
use container::Container;
use record::{Record, View};
use store::Store;

pub use known::Known;

/// Who speaks: root, or a user who may speak for own processes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
}

#[derive(Debug)]
pub enum Command {
    Notice {
        notice: Box<Notice>,
        peer: Peer,
        late: Option<String>,
        known: Option<Box<Known>>,
        reply: oneshot::Sender<Ack>,
    },
    Known(Box<Known>, oneshot::Sender<bool>),
    /// Those chosen by the rules alone.
    Chosen(oneshot::Sender<Vec<Identity>>),
    /// Something may have ended.
    Look,
    List(oneshot::Sender<Vec<View>>),
    Tracers(oneshot::Sender<Vec<TracerView>>),
    Survey(oneshot::Sender<Survey>),
    AskForCost,
    Change(Box<Change>, oneshot::Sender<Result<serde_json::Value, ChangeError>>),
    InitExited {
        index: u32,
        cgroup: u64,
    },
    CgroupsMade,
    Stop(oneshot::Sender<()>),
}

/// What a scrape needs, taken at one moment.
#[derive(Debug)]
pub struct Survey {
    pub containers: Vec<Surveyed>,
    pub meters: Vec<Meter>,
    pub tracers: Vec<TracerView>,
    pub scope_entries: (usize, u32),
    pub places: u32,
}

#[derive(Debug)]
pub struct Surveyed {
    /// Its place in the maps; none once it has ended, when `values` are what it left.
    pub index: Option<u32>,
    pub view: View,
    pub values: Arc<Vec<crate::metrics::Sample>>,
    pub files: Arc<Files>,
    /// Likewise, of its tables.
    pub rows: Arc<Vec<crate::metrics::tables::Rows>>,
}

#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Command>);

impl Handle {
    pub fn new(commands: mpsc::Sender<Command>) -> Self {
        Self(commands)
    }

    /// Of a container that asks by its own annotations.
    pub async fn notice(&self, notice: Notice, peer: Peer, late: Option<String>) -> Ack {
        self.tell(notice, peer, late, None).await
    }

    /// Of a container that is wanted by what is known of it.
    pub async fn wanted(&self, notice: Notice, late: Option<String>, known: Known) -> Ack {
        self.tell(notice, Peer { uid: 0 }, late, Some(Box::new(known))).await
    }

    async fn tell(&self, notice: Notice, peer: Peer, late: Option<String>, known: Option<Box<Known>>) -> Ack {
        let gone = Ack { ok: false, message: "the daemon is stopping".into() };
        let notice = Box::new(notice);
        self.ask(|reply| Command::Notice { notice, peer, late, known, reply }).await.unwrap_or(gone)
    }

    /// Completes what is known of a container; whether it is in scope.
    pub async fn known(&self, known: Known) -> bool {
        self.ask(|reply| Command::Known(Box::new(known), reply)).await.unwrap_or_default()
    }

    pub async fn chosen(&self) -> Vec<Identity> {
        self.ask(Command::Chosen).await.unwrap_or_default()
    }

    /// Has the ends of containers looked for now.
    pub async fn look(&self) {
        let _ = self.0.send(Command::Look).await;
    }

    pub async fn list(&self) -> Vec<View> {
        self.ask(Command::List).await.unwrap_or_default()
    }

    pub async fn tracers(&self) -> Vec<TracerView> {
        self.ask(Command::Tracers).await.unwrap_or_default()
    }

    pub async fn survey(&self) -> Option<Survey> {
        self.ask(Command::Survey).await
    }

    /// Has the cost of programs counted for a while.
    pub async fn ask_for_cost(&self) {
        let _ = self.0.send(Command::AskForCost).await;
    }

    /// Has something changed; the daemon's answer. None: it is stopping.
    pub async fn change(&self, change: Change) -> Option<Result<serde_json::Value, ChangeError>> {
        self.ask(|reply| Command::Change(Box::new(change), reply)).await
    }

    pub async fn stop(&self) {
        let _ = self.ask(Command::Stop).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[derive(Debug)]
pub struct Registry {
    config: Arc<Config>,
    cgroups: CgroupRoot,
    scope: Scope,
    engine: Engine,
    directory: Directory,
    stacks: Minder,
    store: Store,
    boot: String,
    /// By index.
    live: BTreeMap<u32, Container>,
    ended: VecDeque<Record>,
    /// Ended lately: their series are still shown.
    parting: Vec<(Instant, Surveyed)>,
    /// Cgroups of ended containers that the reader may still find records of.
    forgetting: Vec<(Instant, u64)>,
    /// When to look whether one has left its cgroup.
    escapes_due: Instant,
    units: attach::Units,
    history: Teller,
    own: mpsc::Sender<Command>,
}

impl Registry {
    #[allow(clippy::too_many_arguments, reason = "each is owned from here on; made in one place")]
    pub fn start(
        config: Arc<Config>,
        cgroups: CgroupRoot,
        scope: Scope,
        engine: Engine,
        directory: Directory,
        stacks: stacks::Handle,
        boot: String,
        gone: mpsc::UnboundedReceiver<Gone>,
        history: Teller,
    ) -> io::Result<(Handle, JoinHandle<()>)> {
        let (own, commands) = mpsc::channel(256);
        let store = Store::new(&config.state_dir, config.limits.ended)?;
        let ended = store.ended().into();
        let mut registry = Self {
            units: attach::Units::load(&config.state_dir),
            stacks: Minder::new(stacks, config.limits.series_linger),
            config,
            cgroups,
            scope,
            engine,
            directory,
            store,
            boot,
            live: BTreeMap::new(),
            ended,
            parting: Vec::new(),
            forgetting: Vec::new(),
            escapes_due: Instant::now(),
            history,
            own: own.clone(),
        };
        registry.restore();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("registry".into()).stack_size(1 << 20);
        let thread = thread.spawn(move || runtime.block_on(registry.run(commands, gone)))?;
        Ok((Handle(own), thread))
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut gone: mpsc::UnboundedReceiver<Gone>) {
        let restored: Vec<u32> = self.live.keys().copied().collect();
        restored.into_iter().for_each(|index| self.watch_init(index));
        loop {
            let due = self.tend(Instant::now());
            let pause = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(gone) = gone.recv() => self.gone(gone),
                command = commands.recv() => match command {
                    None => break,
                    Some(Command::Stop(done)) => {
                        // Removals already read belong to this daemon's account.
                        while let Ok(gone) = gone.try_recv() {
                            self.gone(gone);
                        }
                        self.leave();
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.obey(command),
                },
                () = pause => {}
            }
        }
        self.leave();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Notice { notice, peer, late, known, reply } => {
                let _ = reply.send(self.notice(&notice, peer, late, known.as_deref()));
            }
            Command::Known(known, reply) => drop(reply.send(self.known(&known))),
            Command::Chosen(reply) => drop(reply.send(self.chosen())),
            Command::List(reply) => drop(reply.send(self.views())),
            Command::Tracers(reply) => drop(reply.send(self.engine.views())),
            Command::Survey(reply) => drop(reply.send(self.survey())),
            Command::AskForCost => self.engine.ask_for_cost(),
            Command::Change(change, reply) => drop(reply.send(self.change(*change))),
            Command::InitExited { index, cgroup } => self.init_exited(index, cgroup),
            Command::CgroupsMade => self.look_for_units(),
            // What there is to be looked at is looked at after each command.
            Command::Look | Command::Stop(_) => {}
        }
    }

    fn views(&self) -> Vec<View> {
        let meters = self.engine.meters();
        let live = self.live.values().map(|c| self.view(c, &meters));
        live.chain(self.waiting()).chain(self.ended.iter().map(|r| r.view("ended"))).collect()
    }

    /// With the tracers that it has now.
    fn view(&self, container: &Container, meters: &[Meter]) -> View {
        let mut view = container.view(meters);
        view.tracers.retain(|name| self.engine.bit(name, container.record.index) != 0);
        view
    }

    fn survey(&mut self) -> Survey {
        let meters = self.engine.meters();
        let live = self.live.values();
        let live = live.map(|c| Surveyed {
            index: Some(c.record.index),
            view: self.view(c, &meters),
            values: Arc::default(),
            files: c.files.clone(),
            rows: Arc::default(),
        });
        let parting = self.parting.iter().map(|(_, s)| Surveyed {
            index: None,
            view: s.view.clone(),
            values: s.values.clone(),
            files: Arc::default(),
            rows: s.rows.clone(),
        });
        Survey {
            containers: live.chain(parting).collect(),
            tracers: self.engine.views(),
            scope_entries: self.scope.entries(),
            places: self.scope.shared.containers,
            meters,
        }
    }

    /// Puts the counts on disk and goes; links and maps stay pinned.
    fn leave(mut self) {
        let meters = self.engine.meters();
        for container in self.live.values_mut() {
            container.settle(&meters);
            if let Err(e) = self.store.put(&container.record) {
                tracing::warn!("failed to keep record of {}: {e}", container.record.key.id);
            }
        }
        self.stacks.leave();
        self.engine.leave();
        self.scope.leave();
    }
}
