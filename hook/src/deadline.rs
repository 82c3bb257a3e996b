//! One point in time by which the hook is done waiting, whatever it waits for.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    budget: Duration,
    end: Instant,
}

impl Deadline {
    pub fn after(budget: Duration) -> Self {
        Self { budget, end: Instant::now() + budget }
    }

    /// What is left, at least a millisecond, or the error that says that nothing is.
    pub fn remaining(self) -> io::Result<Duration> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(self.expired()),
            // The kernel takes a timeout that rounds to 0 for "no timeout".
            left => Ok(left.max(Duration::from_millis(1))),
        }
    }

    /// Waits until `fd` is ready for `events`, or has failed.
    pub fn wait(self, fd: impl AsFd, events: PollFlags) -> io::Result<()> {
        loop {
            let timeout = Timespec::try_from(self.remaining()?).ok();
            match poll(&mut [PollFd::new(&fd, events)], timeout.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    pub fn expired(self) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, format!("no time left of {} ms", self.budget.as_millis()))
    }
}
