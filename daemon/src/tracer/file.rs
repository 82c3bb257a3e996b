//! Where tracers come from: those embedded in the binary, and objects in a folder that only root may write.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use hyper::body::Bytes;
use thiserror::Error;

use super::keep::fnv1a;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Largest object that is read.
pub const OBJECT_MAX: u64 = 16 << 20;

#[derive(Debug, Error)]
pub enum FileError {
    #[error("failed to read tracer {path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("failed to accept {path}: {why}; only root may own and write it and the folders above")]
    Untrusted { path: PathBuf, why: String },
}

/// A BPF object, not yet looked into.
#[derive(Debug, Clone)]
pub struct ObjectFile {
    /// For messages: a path, or `built-in NAME`.
    pub origin: String,
    content: Content,
    /// Came with the binary, and was checked when that was built.
    pub builtin: bool,
    /// Was loaded over the API: may stand in the place of another of its name.
    pub replaces: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Plain(Bytes),
    /// Deflated, as it is in the binary: unpacked where it is looked into, and not kept.
    Packed(&'static [u8]),
}

impl ObjectFile {
    /// What somebody sent.
    pub fn sent(origin: String, bytes: Bytes) -> Self {
        Self { origin, content: Content::Plain(bytes), builtin: false, replaces: true }
    }

    /// The built-in ones but for the scope's own object.
    pub fn embedded() -> Vec<Self> {
        let mut all = builtin();
        all.remove(SCOPE);
        all.into_iter().map(|(name, content)| Self::of(&name, content)).collect()
    }

    pub fn scope() -> Self {
        let mut all = builtin();
        Self::of(SCOPE, all.remove(SCOPE).expect("built by build.rs"))
    }

    fn of(name: &str, content: Content) -> Self {
        Self { origin: format!("built-in {name}"), content, builtin: true, replaces: false }
    }

    pub fn bytes(&self) -> Bytes {
        match &self.content {
            Content::Plain(bytes) => bytes.clone(),
            Content::Packed(packed) => {
                miniz_oxide::inflate::decompress_to_vec(packed).expect("packed by build.rs").into()
            }
        }
    }

    pub fn read(path: &Path) -> Result<Self, FileError> {
        let io = |cause| FileError::Io { path: path.to_owned(), cause };
        let meta = fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(io(io::Error::other("not a regular file")));
        }
        if meta.len() > OBJECT_MAX {
            return Err(io(io::Error::other(format!("{} bytes, at most {OBJECT_MAX} are read", meta.len()))));
        }
        let bytes = fs::read(path).map_err(io)?;
        Ok(Self::plain(path.display().to_string(), bytes))
    }

    pub fn plain(origin: String, bytes: Vec<u8>) -> Self {
        Self { origin, content: Content::Plain(bytes.into()), builtin: false, replaces: false }
    }

    /// The objects of a folder by path, each accepted or refused for itself. A missing folder holds none.
    pub fn folder(dir: &Path) -> Vec<(PathBuf, Result<Self, FileError>)> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "o"));
        paths.sort();
        let accept = |p: PathBuf| {
            let read = trusted(&p).and_then(|()| Self::read(&p));
            (p, read)
        };
        paths.into_iter().map(accept).collect()
    }

    /// Identity of the content, to tell an upgrade from a restart.
    pub fn fingerprint(&self) -> u64 {
        fnv1a(self.bytes().iter().copied())
    }
}

const SCOPE: &str = "scope";

/// What came with the binary. Debug builds take objects of the folder `REMORA_OBJECTS` in its stead, so that a
/// tracer under development needs no build of the daemon.
fn builtin() -> BTreeMap<String, Content> {
    if let Some(dir) = std::env::var_os("REMORA_OBJECTS").filter(|_| cfg!(debug_assertions)) {
        let files = fs::read_dir(dir).into_iter().flatten().flatten();
        let object = |e: fs::DirEntry| {
            let name = e.file_name().to_str()?.strip_suffix(".bpf.o")?.to_owned();
            Some((name, Content::Plain(fs::read(e.path()).ok()?.into())))
        };
        return files.filter_map(object).collect();
    }
    EMBEDDED.iter().map(|(name, packed)| ((*name).to_owned(), Content::Packed(packed))).collect()
}

/// Only root may own or write the file and the folder it is in.
pub fn trusted(path: &Path) -> Result<(), FileError> {
    for part in [Some(path), path.parent()].into_iter().flatten() {
        let meta =
            fs::symlink_metadata(part).map_err(|cause| FileError::Io { path: part.to_owned(), cause })?;
        let why = if meta.file_type().is_symlink() {
            "is a symbolic link".to_owned()
        } else if meta.uid() != 0 {
            format!("is owned by user {}", meta.uid())
        } else if meta.mode() & 0o022 != 0 {
            format!("has mode {:o}", meta.mode() & 0o7777)
        } else {
            continue;
        };
        return Err(FileError::Untrusted { path: part.to_owned(), why });
    }
    Ok(())
}
