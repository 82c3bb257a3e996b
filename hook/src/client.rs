//! One notice to the daemon and its answer, all within one deadline: whatever the peer does, the container
//! must not wait longer.

use crate::deadline::Deadline;
use remora_wire::{Ack, FrameError, read_frame};
use rustix::event::PollFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Sends an encoded frame and waits for the answer. The error is a sentence's end: why there was none.
pub fn exchange(path: &Path, frame: &[u8], deadline: Deadline) -> Result<Ack, String> {
    let stream = open(path, deadline).map_err(|e| format!("failed to connect to {}: {e}", path.display()))?;
    let mut peer = Timed { stream, deadline };
    let sent = peer.write_all(frame);
    // A daemon that refuses us may have answered and hung up before reading all of it.
    read_frame(&mut peer).map_err(|e| match (sent, e) {
        (Err(e), _) => format!("failed to send the notice to the daemon: {e}"),
        (Ok(()), FrameError::Io(e)) if e.kind() == ErrorKind::UnexpectedEof => {
            "the daemon hung up without an answer".to_owned()
        }
        (Ok(()), e) => format!("failed to read the daemon's answer: {e}"),
    })
}

fn open(path: &Path, deadline: Deadline) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(path)?;
    // While the backlog is full a connect blocks, and poll can't tell when it has room: only the send
    // timeout ends it.
    loop {
        set_socket_timeout(&socket, Timeout::Send, Some(deadline.remaining()?))?;
        match connect(&socket, &address) {
            Ok(()) => break,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
            Err(e) => return Err(e.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// A socket whose every read and write ends at the deadline, however little a call gets done.
struct Timed {
    stream: UnixStream,
    deadline: Deadline,
}

impl Timed {
    fn retry<T>(
        &mut self,
        events: PollFlags,
        mut call: impl FnMut(&mut UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match call(&mut self.stream) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.deadline.wait(&self.stream, events)?,
                // A peer that always has one more byte keeps a call from ever blocking.
                Ok(_) if self.deadline.remaining().is_err() => return Err(self.deadline.expired()),
                result => return result,
            }
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::OUT, |stream| stream.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
