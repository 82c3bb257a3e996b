//! Where a notice waits while the daemon is away. The daemon acts on these files as root, so the folder
//! must be nobody else's, and it is only ever named once: all else goes through its descriptor.

use remora_wire::Notice;
use rustix::fs::{CWD, Dir, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Most files in the spool; a daemon that is away for long must not fill the disk.
pub const MAX_FILES: usize = 1024;

/// Writes the notice to `<20 digits of unix ns>-<our pid>.json`, so that names sort by age.
pub fn store(path: &Path, notice: &Notice) -> io::Result<()> {
    let json = serde_json::to_vec(notice)?;
    let dir = open(path)?;
    if count(&dir)? >= MAX_FILES {
        return Err(io::Error::other(format!("it holds {MAX_FILES} notices already, this one is dropped")));
    }
    let name = format!("{:020}-{}.json", notice.at, std::process::id());
    let temporary = format!(".{name}.tmp");
    let stored = write(&dir, &temporary, &json).and_then(|()| Ok(renameat(&dir, &temporary, &dir, &name)?));
    if stored.is_err() {
        let _ = unlinkat(&dir, &temporary, rustix::fs::AtFlags::empty());
    }
    stored
}

/// Opens the folder, made if missing, and refuses one that somebody else could have put there.
fn open(path: &Path) -> io::Result<OwnedFd> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty())?;
    let stat = fstat(&dir)?;
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid != own {
        return Err(io::Error::other(format!("it belongs to uid {}, not to {own}", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        fchmod(&dir, Mode::RWXU)?;
    }
    Ok(dir)
}

fn count(dir: impl AsFd) -> io::Result<usize> {
    // `.` and `..` are always there. Unfinished files count too: they take room as well.
    Ok(Dir::read_from(dir)?.take(MAX_FILES + 2).count().saturating_sub(2))
}

fn write(dir: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    File::from(file).write_all(bytes)
}
