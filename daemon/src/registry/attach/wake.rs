//! Tells the registry that cgroups were made where units have theirs, the moment they are: systemd makes a unit's cgroup
//! some milliseconds before it executes the unit's program.

use std::{io, os::fd::AsFd, path::Path};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::{io::unix::AsyncFd, sync::mpsc, task::AbortHandle};

use crate::registry::Command;

#[derive(Debug)]
pub struct Wake {
    inotify: Inotify,
    task: AbortHandle,
}

impl Wake {
    /// To be called on a thread with a runtime.
    pub fn new(registry: mpsc::Sender<Command>) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // SAFETY: the descriptor is owned by the AsyncFd and closed with it.
        let events = unsafe { AsyncFd::register(inotify.as_fd().try_clone_to_owned()?) }?;
        let task = runtime.spawn(async move {
            // Names are not asked for: a look finds what is there.
            let mut names = [0; 4096];
            while let Ok(mut ready) = events.readable().await {
                while nix::unistd::read(events.get_ref(), &mut names).is_ok_and(|n| n > 0) {}
                ready.clear_ready();
                if registry.send(Command::CgroupsMade).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { inotify, task: task.abort_handle() })
    }

    /// Adding a folder again changes nothing; one that has gone tells of itself no more.
    pub fn watch(&self, dir: &Path) {
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR;
        let _ = self.inotify.add_watch(dir, flags);
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.task.abort();
    }
}
