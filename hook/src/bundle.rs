//! What we need of a bundle's `config.json`: annotations, and where the root file system lies.

use crate::fields::Fields;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub type Annotations = BTreeMap<String, String>;

/// Largest `config.json` that is read, in bytes.
pub const MAX_CONFIG: u64 = 16 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    pub annotations: Annotations,
    /// Absolute path of the root file system, if the configuration names one.
    pub root: Option<PathBuf>,
}

#[derive(Debug)]
pub enum BundleError {
    Read(PathBuf, io::Error),
    Parse(PathBuf, serde_json::Error),
}

impl std::fmt::Display for BundleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(path, e) => write!(f, "failed to read {}: {e}", path.display()),
            Self::Parse(path, e) => write!(f, "failed to parse {}: {e}", path.display()),
        }
    }
}

impl std::error::Error for BundleError {}

impl Bundle {
    /// Reads `config.json` in the folder `dir`.
    pub fn read(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join("config.json");
        let text = read_config(&path).map_err(|e| BundleError::Read(path.clone(), e))?;
        Self::parse(&text, dir).map_err(|e| BundleError::Parse(path, e))
    }

    /// The same from the file's text.
    pub fn parse(text: &str, dir: &Path) -> Result<Self, serde_json::Error> {
        let config = Fields::parse(text)?;
        let root = config.object("root").and_then(|root| root.get::<String>("path"));
        Ok(Self {
            annotations: config.strings("annotations").unwrap_or_default(),
            root: root.map(|path| dir.join(path)),
        })
    }
}

/// A configuration's text, which like all JSON is UTF-8.
pub fn read_config(path: &Path) -> io::Result<String> {
    let bytes = read_bounded(open_regular(path)?, MAX_CONFIG)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Opens a file for reading, never waiting for whoever might write into a pipe of that name.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

fn read_bounded(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16 << 10);
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_root_lies_in_the_bundle() {
        let dir = Path::new("/run/b");
        let of = |text| Bundle::parse(text, dir).unwrap().root;
        assert_eq!(of(r#"{"root":{"path":"rootfs","readonly":true}}"#), Some("/run/b/rootfs".into()));
        assert_eq!(of(r#"{"root":{"path":"/var/r"}}"#), Some("/var/r".into()));
        assert_eq!(of(r#"{"root":[]}"#), None);
    }

    #[test]
    fn what_is_read_is_bounded() {
        assert_eq!(read_bounded(io::repeat(b' ').take(10), 10).unwrap().len(), 10);
        assert!(read_bounded(io::repeat(b' '), 10).is_err());
    }

    #[test]
    fn only_a_regular_file_is_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config.json")).unwrap();
        let error = Bundle::read(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("failed to read") && error.contains("not a regular file"), "{error}");
    }
}
