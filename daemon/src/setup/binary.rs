//! Whether a program may be named in a manager's configuration: managers run it as root, for each container.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, ensure};

/// Refuses what is missing, cannot be executed, or could be replaced by somebody else than root.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let real = fs::canonicalize(path).with_context(|| {
        format!("failed to find {shown}: install the binaries first, the configuration after")
    })?;
    let meta = fs::metadata(&real).with_context(|| format!("failed to look at {shown}"))?;
    ensure!(meta.is_file(), "{shown} is not a file");
    ensure!(meta.mode() & 0o111 != 0, "{shown} cannot be executed");
    let others_write = meta.mode() & 0o002 != 0 || meta.mode() & 0o020 != 0 && meta.gid() != 0;
    ensure!(!others_write, "{shown} can be written by others than root (mode {:o})", meta.mode() & 0o7777);
    ensure!(meta.uid() == 0, "{shown} belongs to user {}, not to root", meta.uid());
    for folder in real.ancestors().skip(1) {
        let meta = fs::metadata(folder).with_context(|| format!("failed to look at {}", folder.display()))?;
        let open = meta.mode() & 0o002 != 0 && meta.mode() & 0o1000 == 0;
        ensure!(!open && meta.uid() == 0, "{} around {shown} is not root's alone", folder.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    #[test]
    fn only_what_is_roots_alone_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("remora-hook");
        let why = || format!("{:#}", check(&path).unwrap_err());
        assert!(why().contains("install the binaries first"));
        fs::write(&path, "").unwrap();
        assert!(why().ends_with("cannot be executed"), "{}", why());
        fs::set_permissions(&path, Permissions::from_mode(0o757)).unwrap();
        assert!(why().contains("mode 757"), "{}", why());
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        // Whoever is not root cannot own it rightly, nor give it away.
        if chown(&path, Some(1234), None).is_ok() {
            assert!(why().contains("belongs to user 1234"), "{}", why());
            chown(&path, Some(0), None).unwrap();
            check(&path).unwrap();
            fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
            assert!(why().contains("not root's alone"), "{}", why());
        }
    }
}
