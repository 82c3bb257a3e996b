//! Replaces a file as a whole, so that nobody ever reads half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Puts `text` in the place of the file, with its mode and owner. A link is replaced, its target, which
/// other containers may share, is not.
pub fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_file_name(format!(".remora-runtime-{}.tmp", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = fill(file, path, text).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Not synced to disk: after a crash of the node there is no container left that this file describes.
fn fill(mut file: File, like: &Path, text: &str) -> io::Result<()> {
    let original = fs::metadata(like)?;
    file.write_all(text.as_bytes())?;
    fchown(&file, Some(original.uid()), Some(original.gid()))?;
    file.set_permissions(original.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn mode_and_owner_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        // Only root may give a file away; anybody else sees that their own stays theirs.
        let _ = std::os::unix::fs::chown(&path, Some(1234), Some(4321));
        let before = fs::metadata(&path).unwrap();
        rewrite(&path, "new").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_shared_target_of_a_link_is_not_edited() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, path) = (dir.path().join("shared.json"), dir.path().join("config.json"));
        fs::write(&shared, "old").unwrap();
        symlink(&shared, &path).unwrap();
        rewrite(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&shared).unwrap(), "old");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_failure_leaves_the_folder_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("config.json/full")).unwrap();
        assert!(rewrite(&dir.path().join("config.json"), "new").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
