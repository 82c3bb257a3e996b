//! When podman's databases change: podman has no daemon to tell, and journald or a log, where events go, may be
//! switched off. Each start and end of a container is written to the database.

use std::{io, os::fd::OwnedFd, path::PathBuf, time::Duration};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::{Interest, unix::AsyncFd};

use super::database;

/// A start writes several times; who looks at each would read the same again.
const SETTLE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Of the databases of these storages; those that are not there are left out.
    pub fn of(storages: &[PathBuf]) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        let mut watched = 0;
        for path in storages.iter().flat_map(|storage| database::files(storage)) {
            watched += usize::from(inotify.add_watch(&path, flags).is_ok());
        }
        if watched == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no database to be watched"));
        }
        // SAFETY: the descriptor is owned by the AsyncFd and closed with it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(inotify.into(), Interest::READABLE) }?))
    }

    /// Waits for the next change, and a moment for those that come with it.
    pub async fn next(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        tokio::time::sleep(SETTLE).await;
        // Whatever it says, everything is read anew.
        let mut buffer = [0; 4096];
        while nix::unistd::read(&self.0, &mut buffer).is_ok_and(|n| n > 0) {}
        Ok(())
    }
}
