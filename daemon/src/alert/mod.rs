//! What is worth a person's attention: rules, learned profiles and incidents over the events of all containers. A thread of its
//! own pulls events by cursor, as any reader does, and runs at a lower priority than those who serve hooks; what it finds
//! goes to a board, where whoever asks reads it, and to the outputs.

mod board;
mod command;
pub mod files;
mod keep;
mod output;
mod pump;
mod queue;
mod settings;
mod shelf;
mod subject;
mod worker;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use remora_alert::incident::Incident;
use tokio::sync::{mpsc, oneshot};

use crate::api::Api;
use crate::config::Config;
use crate::history::Left;
use crate::worker::Worker;

pub use board::{Board, Figures, Page, Shown, What};
pub use command::{Change, ProfileView, Refused, RuleView};
pub use keep::{FOLDER, PROFILES};
pub use output::State as OutputState;
pub use settings::{Alerts as Settings, syslog as check_syslog};

use command::Command;
use output::Outputs;

/// Commands that wait.
const WAITING: usize = 16;

/// What others hold: the board, and the way to ask for more.
#[derive(Debug, Clone)]
pub struct Handle {
    pub board: Board,
    outputs: Outputs,
    commands: mpsc::Sender<Command>,
}

/// What the worker is started with.
#[derive(Debug)]
pub struct Starting {
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    outputs: output::Starting,
    keep: keep::Keep,
    before: Vec<Incident>,
}

/// Opens what an earlier daemon left.
pub fn open(config: &Config) -> io::Result<(Handle, Starting)> {
    let dir = config.state_dir.join(FOLDER);
    keep::private(&dir)?;
    let (outputs, waiting) = Outputs::open(&config.alerts, &config.otlp, &dir);
    let (keep, board) = (keep::Keep::new(&dir)?, Board::default());
    let before = keep.read();
    before.iter().for_each(|incident| board.restore(incident));
    let (sender, commands) = mpsc::channel(WAITING);
    let handle = Handle { board, outputs, commands: sender };
    Ok((handle.clone(), Starting { handle, commands, outputs: waiting, keep, before }))
}

/// Looks at events until it is dropped.
pub fn start(
    config: Arc<Config>,
    api: Api,
    starting: Starting,
    ends: mpsc::Receiver<Left>,
) -> io::Result<Worker> {
    Worker::start("alerts", move |stopped| async move {
        yield_to_others();
        worker::Watch::new(&config, api, starting).await.run(stopped, ends).await;
    })
}

/// Below the state's folder.
fn place(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER).join("place.json")
}

/// Of this thread alone, and those that it starts.
fn yield_to_others() {
    const LESS: i32 = 10;
    // SAFETY: changes a number of the calling thread, which 0 stands for.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LESS) } != 0 {
        tracing::debug!("failed to lower the priority of alerts: {}", io::Error::last_os_error());
    }
}

impl Handle {
    pub fn outputs(&self) -> Vec<OutputState> {
        self.outputs.states()
    }

    /// None: the daemon is stopping.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}
