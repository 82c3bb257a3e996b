//! What survives the daemon: pins in bpffs, and which object and number each tracer had.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use libbpf_rs::MapHandle;
use serde::{Deserialize, Serialize};

use super::ObjectFile;
use crate::scope::abi::Stats;
use crate::scope::mapped::Mapped;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    pub bit: u32,
    pub number: u32,
    pub fingerprint: u64,
    pub params: HashMap<String, u64>,
    pub boot: String,
}

#[derive(Debug, Clone)]
pub struct Keep {
    /// Below bpffs: one folder a tracer.
    pins: PathBuf,
    /// On disk: `NAME.json` and the object, `NAME.o`.
    state: PathBuf,
    /// What was kept in another boot is void.
    pub boot: String,
}

impl Keep {
    pub fn new(pins: &Path, state: &Path, boot: String) -> io::Result<Self> {
        fs::create_dir_all(pins)?;
        fs::create_dir_all(state)?;
        Ok(Self { pins: pins.to_owned(), state: state.to_owned(), boot })
    }

    pub fn pins(&self, tracer: &str) -> PathBuf {
        self.pins.join(tracer)
    }

    pub fn read(&self, tracer: &str) -> Option<(Kept, ObjectFile)> {
        let text = fs::read(self.state.join(format!("{tracer}.json"))).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let file = ObjectFile::read(&self.state.join(format!("{tracer}.o"))).ok()?;
        (kept.boot == self.boot && self.pins(tracer).exists()).then_some((kept, file))
    }

    /// Deliveries counted so far for a tracer whose object may have changed.
    pub fn stats(&self, tracer: &str, containers: u32) -> Option<Mapped<Stats>> {
        let map = MapHandle::from_pinned_path(self.pins(tracer).join("remora_stats")).ok()?;
        Mapped::new(&map, containers as usize).ok()
    }

    /// Bits that pinned programs may still look for.
    pub fn bits(&self) -> Vec<u32> {
        self.names().iter().filter_map(|n| self.read(n)).map(|(kept, _)| kept.bit).collect()
    }

    /// Notes a new instance. Maps of the old object go, but for the counts; its links go with `sweep`.
    pub fn replace(&self, tracer: &str, kept: &Kept, file: &ObjectFile) -> io::Result<()> {
        let dir = self.pins(tracer);
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_name() != "remora_stats" && entry.file_name() != "links" {
                fs::remove_file(entry.path())?;
            }
        }
        // The old object's links keep their programs running until they are swept: out of the new one's way.
        let links = dir.join("links");
        if links.exists() {
            fs::rename(&links, dir.join(format!("old-{}", kept.number)))?;
        }
        fs::create_dir_all(links)?;
        write(&self.state.join(format!("{tracer}.o")), &file.bytes)?;
        write(&self.state.join(format!("{tracer}.json")), &serde_json::to_vec(kept)?)
    }

    /// Removes links of programs that nobody holds, and whole folders of old links.
    pub fn sweep(&self, tracer: &str, held: &BTreeSet<String>) {
        let dir = self.pins(tracer);
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("old-") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        for entry in fs::read_dir(dir.join("links")).into_iter().flatten().flatten() {
            if !held.contains(&*entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes what is kept of tracers that are no longer known.
    pub fn forget_unknown(&self, known: &BTreeSet<&str>) {
        for name in self.names() {
            if !known.contains(name.as_str()) {
                self.forget(&name);
            }
        }
    }

    /// Removes all that is kept of a tracer.
    pub fn forget(&self, tracer: &str) {
        let _ = fs::remove_dir_all(self.pins(tracer));
        let _ = fs::remove_file(self.state.join(format!("{tracer}.json")));
        let _ = fs::remove_file(self.state.join(format!("{tracer}.o")));
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.state).into_iter().flatten().flatten();
        let name = |e: fs::DirEntry| Some(e.file_name().to_str()?.strip_suffix(".json")?.to_owned());
        entries.filter_map(name).collect()
    }
}

/// FNV-1a: names content of our own, guards nothing.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path)
}
