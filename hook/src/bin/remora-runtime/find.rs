//! Where the real runtime and our hook are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const CONFIG: &str = "/etc/remora/runtime";
/// Looked up in this order when nothing is configured.
const RUNTIMES: [&str; 2] = ["runc", "crun"];
/// Shims run with an empty or a short PATH.
const FOLDERS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The runtime to hand over to: `REMORA_RUNTIME`, else the first usable line of `/etc/remora/runtime`, else
/// the first of runc and crun that is installed.
pub fn runtime() -> Result<PathBuf, String> {
    if let Some(name) = env::var_os("REMORA_RUNTIME") {
        return locate(&name)
            .ok_or_else(|| format!("REMORA_RUNTIME names no other runtime that can be executed: {name:?}"));
    }
    match fs::read_to_string(CONFIG) {
        Ok(lines) => listed(&lines).ok_or_else(|| format!("{CONFIG} names no runtime that can be executed")),
        Err(e) if e.kind() == ErrorKind::NotFound => RUNTIMES
            .iter()
            .find_map(|name| locate(OsStr::new(name)))
            .ok_or_else(|| format!("found neither runc nor crun; name the runtime's path in {CONFIG}")),
        Err(e) => Err(format!("failed to read {CONFIG}: {e}")),
    }
}

fn listed(lines: &str) -> Option<PathBuf> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.into_iter().find_map(|line| locate(OsStr::new(line)))
}

/// A path as it is, a bare name in PATH and the usual folders; never ourselves, which would go on for ever.
fn locate(name: &OsStr) -> Option<PathBuf> {
    let usable = |path: &PathBuf| is_executable(path) && !is_self(path);
    if name.as_encoded_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(usable);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(env::split_paths(FOLDERS));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(usable)
}

/// The hook: `REMORA_HOOK`, else the one installed beside us, else in the usual places. A configuration
/// that names a hook which is not there cannot start, so a path is returned only if it can be executed.
pub fn hook() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("REMORA_HOOK").map(PathBuf::from) {
        return match path.is_absolute() && is_executable(&path) {
            true => Ok(path),
            false => Err(format!("REMORA_HOOK names no absolute path that can be executed: {path:?}")),
        };
    }
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let folders = beside.into_iter().chain(["/usr/local/bin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join("remora-hook")).find(|path| is_executable(path)).ok_or_else(|| {
        "found no remora-hook beside remora-runtime, in /usr/local/bin or in /usr/bin".to_owned()
    })
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn is_self(path: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    identity(path).is_some_and(|file| identity(Path::new("/proc/self/exe")) == Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_line_counts() {
        assert_eq!(listed("# ours\n\n/none/runc\n  /bin/sh \n/bin/ls\n"), Some("/bin/sh".into()));
        assert_eq!(listed("/none\n#/bin/sh\n"), None);
    }

    #[test]
    fn we_are_never_the_real_runtime() {
        assert_eq!(locate(env::current_exe().unwrap().as_os_str()), None);
        assert_eq!(locate(OsStr::new("/proc/self/exe")), None);
    }

    #[test]
    fn a_bare_name_is_looked_up_and_a_folder_is_no_program() {
        assert!(locate(OsStr::new("sh")).is_some_and(|path| path.is_absolute()));
        assert_eq!(locate(OsStr::new("/usr")), None);
    }
}
