//! Where hook and wrapper say what happened. A runtime throws their stderr away or shows it as part of its
//! own failure, so the lines go to syslog, or else to a bounded file.

use crate::{HOOK_LOG, text, time};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

const SYSLOG: &str = "/dev/log";
/// Longest line, in bytes: what every syslog daemon takes.
const MAX_LINE: usize = 2000;
/// The file is renamed to `.1` once it is larger, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Severities of RFC 3164.
#[derive(Debug, Clone, Copy)]
enum Severity {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// Writes lines under the name of one program. Logging never fails: there is nobody left to tell.
#[derive(Debug)]
pub struct Log {
    tag: &'static str,
    file: Option<PathBuf>,
}

impl Log {
    /// `file` forces that file; without it lines go to syslog, or to the default file where there is none.
    pub fn new(tag: &'static str, file: Option<PathBuf>) -> Self {
        Self { tag, file }
    }

    pub fn error(&self, message: impl Display) {
        self.write(Severity::Error, &message.to_string());
    }

    pub fn warn(&self, message: impl Display) {
        self.write(Severity::Warning, &message.to_string());
    }

    pub fn info(&self, message: impl Display) {
        self.write(Severity::Info, &message.to_string());
    }

    fn write(&self, severity: Severity, message: &str) {
        let line = text::printable(message, MAX_LINE);
        let syslog = || to_syslog(Path::new(SYSLOG), self.tag, severity, &line);
        let file = |path: &Path| to_file(path, self.tag, severity, &line);
        let _ = match &self.file {
            Some(path) => file(path).or_else(|_| syslog()),
            None => syslog().or_else(|_| file(Path::new(HOOK_LOG))),
        };
    }
}

/// RFC 3164 as local programs speak it. The time is left to the receiver: it would have to be local time,
/// and every syslog daemon stamps what comes without one.
fn to_syslog(socket: &Path, tag: &str, severity: Severity, line: &str) -> io::Result<()> {
    const DAEMON: u8 = 3 << 3;
    let datagram = format!("<{}>{tag}[{}]: {line}", DAEMON | severity as u8, std::process::id());
    let sender = UnixDatagram::unbound()?;
    // A journal that hangs must not hang the hook.
    sender.set_nonblocking(true)?;
    sender.send_to(datagram.as_bytes(), socket).map(drop)
}

fn to_file(path: &Path, tag: &str, severity: Severity, line: &str) -> io::Result<()> {
    let mut file = open(path)?;
    if file.metadata()?.len() > MAX_FILE && rotate(path, &file)? {
        file = open(path)?;
    }
    let now = time::rfc3339(time::unix_ns() / 1_000_000_000);
    let word = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    // One write, so that lines of hooks that run at once do not mix.
    file.write_all(format!("{now} {word} {tag}[{}]: {line}\n", std::process::id()).as_bytes())
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let attempt = || OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path);
    match (attempt(), path.parent()) {
        (Err(e), Some(parent)) if e.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o750).create(parent)?;
            attempt()
        }
        (result, _) => result,
    }
}

/// Renames the file, unless another hook is at it or has done it: whoever came second would otherwise
/// replace a full `.1` by a nearly empty one.
fn rotate(path: &Path, file: &File) -> io::Result<bool> {
    if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    if fs::metadata(path)?.ino() == file.metadata()?.ino() {
        let mut old = path.as_os_str().to_owned();
        old.push(".1");
        fs::rename(path, old)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_line_reaches_the_syslog_socket_in_its_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        to_syslog(&path, "remora-hook", Severity::Error, "no daemon").unwrap();
        let mut buffer = [0; 100];
        let n = receiver.recv(&mut buffer).unwrap();
        let expected = format!("<27>remora-hook[{}]: no daemon", std::process::id());
        assert_eq!(&buffer[..n], expected.as_bytes());
    }

    #[test]
    fn a_syslog_that_does_not_read_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let full = (0..100_000).find(|_| to_syslog(&path, "t", Severity::Info, "x").is_err());
        assert!(full.is_some());
    }

    #[test]
    fn the_file_is_private_bounded_and_one_line_a_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/hook.log");
        let log = Log::new("remora-hook", Some(path.clone()));
        log.warn("first\nsecond");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(" warning remora-hook[") && text.ends_with("first\\nsecond\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        log.info("after");
        assert_eq!(fs::metadata(dir.path().join("sub/hook.log.1")).unwrap().len(), MAX_FILE + 1);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_symlink_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, path) = (dir.path().join("target"), dir.path().join("hook.log"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(to_file(&path, "t", Severity::Info, "x").is_err());
        assert!(!target.exists());
    }
}
