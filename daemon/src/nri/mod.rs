//! The node resource interface of containerd (1.7 on) and CRI-O: the runtime shows each container that is about to be
//! created, with its pod, and the plugin adds our hooks to those that want to be traced. No file of the runtime's
//! names remora then, and pod labels count before the container starts.
//!
//! An answer with an error, or one that takes more than two seconds, would harm the node. So what is asked is answered
//! at once from memory, and whatever is odd about a connection ends it: the runtime goes on without us, and we begin anew.

mod adjust;
mod gather;
mod messages;
mod session;
mod settings;
mod ttrpc;
mod wire;

use std::{io::ErrorKind, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::manager::{News, wish::Rules};

pub use adjust::HookCall;
pub use settings::Settings;

/// Between attempts where no runtime listens, and after a connection that had worked.
const SOON: Duration = Duration::from_secs(1);
const ABSENT: Duration = Duration::from_secs(2);
/// Longest between attempts at a runtime that does not take us on, or that we do not understand.
const REFUSED: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(2);

/// Our side of the interface.
#[derive(Debug)]
pub struct Plugin(Shared);

/// What outlives a connection.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    hook: HookCall,
    /// As they are when a container is created.
    rules: watch::Receiver<Arc<Rules>>,
    news: mpsc::Sender<News>,
}

/// How an attempt ended, for when the next one is due.
enum Attempt {
    Absent,
    Refused,
    Served,
}

impl Plugin {
    /// Containers found running that want to be traced go to `news`; who is known already is the receiver's to tell.
    pub fn new(
        settings: Settings,
        hook: HookCall,
        rules: watch::Receiver<Arc<Rules>>,
        news: mpsc::Sender<News>,
    ) -> Self {
        Self(Shared { settings, hook, rules, news })
    }

    /// Connects, serves, and connects again, until dropped.
    pub async fn run(&self) {
        let mut refused = SOON;
        loop {
            let pause = match self.attempt().await {
                Attempt::Served => {
                    refused = SOON;
                    SOON
                }
                Attempt::Absent => ABSENT,
                Attempt::Refused => {
                    refused = (refused * 2).min(REFUSED);
                    refused
                }
            };
            sleep(pause).await;
        }
    }

    async fn attempt(&self) -> Attempt {
        let socket = &self.0.settings.socket;
        let stream = match connect(socket).await {
            Ok(stream) => stream,
            Err(e) => {
                tracing::debug!("no NRI at {}: {e}", socket.display());
                return Attempt::Absent;
            }
        };
        let mut session = session::Session::new(&self.0, stream);
        let end = session.run().await;
        if session.configured && end.is_ordinary() {
            tracing::info!("NRI at {} ended: {end}; connecting again", socket.display());
            return Attempt::Served;
        }
        tracing::warn!("NRI at {} is of no use: {end}; trying again", socket.display());
        Attempt::Refused
    }
}

async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    timeout(CONNECT, UnixStream::connect(socket)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests;
