//! Files of others, changed as a whole and never half.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// Largest configuration that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Longest time that a program has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// None: there is no such file.
pub fn read(path: &Path) -> anyhow::Result<Option<String>> {
    read_up_to(path, MAX_FILE)
}

/// Two copies of each of several files, escaped.
pub fn read_record(path: &Path) -> anyhow::Result<Option<String>> {
    read_up_to(path, 16 * MAX_FILE)
}

fn read_up_to(path: &Path, most: u64) -> anyhow::Result<Option<String>> {
    let named = || format!("failed to read {}", path.display());
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(named),
    };
    ensure!(file.metadata().with_context(named)?.is_file(), "{} is not a regular file", path.display());
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).with_context(named)?;
    ensure!(bytes.len() as u64 <= most, "{} is larger than {most} bytes", path.display());
    String::from_utf8(bytes).map(Some).with_context(named)
}

/// Where a path leads in the end: a link stays, what it points to is changed. It must stay within `root`.
pub fn resolve(path: &Path, root: &Path) -> anyhow::Result<PathBuf> {
    let real = match fs::canonicalize(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            ensure!(fs::symlink_metadata(path).is_err(), "{} is a link to nowhere", path.display());
            return Ok(path.to_owned());
        }
        real => real.with_context(|| format!("failed to look at {}", path.display()))?,
    };
    let root = fs::canonicalize(root).with_context(|| format!("failed to look at {}", root.display()))?;
    ensure!(real.starts_with(&root), "{} leads out of {}", path.display(), root.display());
    Ok(real)
}

/// Creates the folders above a file; those that were not there, the innermost last.
pub fn make_folders(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let missing = path.ancestors().skip(1).take_while(|folder| !folder.exists());
    let mut made: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    made.reverse();
    for folder in &made {
        fs::create_dir(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    Ok(made)
}

/// Puts a text in the place of a file, which keeps its mode and owner; a new one gets `mode`.
pub fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let name = path.file_name().context("a file has a name")?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.remora-{}", std::process::id()));
    let written = fill(&temporary, path, text, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_folder(path)).with_context(|| format!("failed to write {}", path.display()))
}

fn fill(temporary: &Path, like: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(text.as_bytes())?;
    match fs::metadata(like) {
        Ok(old) => {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(old.permissions())?;
        }
        Err(_) => file.set_permissions(Permissions::from_mode(mode))?,
    }
    file.sync_all()
}

pub fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_folder(path)),
    }
    .with_context(|| format!("failed to remove {}", path.display()))
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// What a program prints.
pub fn printed(program: &Path, args: &[&str]) -> anyhow::Result<String> {
    let doing = || format!("failed to run {} {}", program.display(), args.join(" "));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().with_context(doing)?;
    let mut out = child.stdout.take().context("a pipe")?.take(MAX_FILE);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().with_context(doing)? {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{}: no answer within {} s", doing(), PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    ensure!(status.success(), "{}: {status}", doing());
    let text = reader.join().ok().with_context(doing)?;
    text.with_context(doing)
}

/// Where a program is: in PATH, or where administrators' programs are.
pub fn find(name: &str) -> Option<PathBuf> {
    const USUAL: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(USUAL.map(PathBuf::from));
    let is_program = |p: &PathBuf| {
        p.is_absolute() && fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    dirs.map(|dir| dir.join(name)).find(is_program)
}

/// Major and minor version of a containerd.
pub fn version(program: &Path) -> anyhow::Result<(u32, u32)> {
    let text = printed(program, &["--version"])?;
    let number = |word: &str| {
        let mut parts = word.trim_start_matches('v').split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    let found = text.strip_prefix("containerd ").and_then(|text| text.split_whitespace().find_map(number));
    found.with_context(|| format!("failed to read the version of {} in {text:?}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_mode_and_owner_and_a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let _ = std::os::unix::fs::chown(&file, Some(12), Some(34));
        let owner = |path: &Path| fs::metadata(path).map(|m| (m.mode(), m.uid(), m.gid())).unwrap();
        let before = owner(&file);
        std::os::unix::fs::symlink("file", &link).unwrap();
        write(&resolve(&link, dir.path()).unwrap(), "new", 0o644).unwrap();
        assert_eq!((read(&file).unwrap().as_deref(), owner(&file)), (Some("new"), before));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_may_not_lead_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(resolve(&link, dir.path()).unwrap_err().to_string().contains("leads out of"));
    }

    #[test]
    fn programs_are_asked_with_patience() {
        assert_eq!(
            printed(Path::new("/bin/echo"), &["containerd", "v1.7.2"]).unwrap(),
            "containerd v1.7.2\n"
        );
        assert!(printed(Path::new("/bin/false"), &[]).is_err());
        assert!(printed(Path::new("/nonexistent"), &[]).unwrap_err().to_string().contains("/nonexistent"));
        assert!(version(Path::new("/bin/true")).is_err());
    }
}
