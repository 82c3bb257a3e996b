//! What survives the daemon: pins in bpffs, and which object and number each tracer had.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use libbpf_rs::MapHandle;
use serde::{Deserialize, Serialize};

use super::ObjectFile;
use super::carry::{Carry, Shapes};
use super::params::Values;
use crate::scope::abi::Stats;
use crate::scope::mapped::Mapped;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    pub bit: u32,
    pub number: u32,
    pub fingerprint: u64,
    /// Those that are fixed while the object is loaded.
    pub params: Values,
    pub maps: Shapes,
    pub boot: String,
}

#[derive(Debug, Clone)]
pub struct Keep {
    /// Below bpffs: one folder a tracer.
    pins: PathBuf,
    /// On disk: `NAME.json` and its object, `NAME.NUMBER.o`.
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

    pub fn links(&self, tracer: &str) -> PathBuf {
        self.pins(tracer).join("links")
    }

    pub fn read(&self, tracer: &str) -> Option<(Kept, ObjectFile)> {
        let text = fs::read(self.state.join(format!("{tracer}.json"))).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let file = ObjectFile::read(&self.object(tracer, kept.number)).ok()?;
        (kept.boot == self.boot && self.pins(tracer).exists()).then_some((kept, file))
    }

    fn object(&self, tracer: &str, number: u32) -> PathBuf {
        self.state.join(format!("{tracer}.{number}.o"))
    }

    /// The maps pinned for what was kept.
    pub fn carry(&self, tracer: &str, kept: &Kept) -> Carry {
        let mut carry = Carry::default();
        for (name, shape) in &kept.maps {
            if let Ok(map) = MapHandle::from_pinned_path(self.pins(tracer).join(name)) {
                carry.put(name, map, shape);
            }
        }
        carry
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

    /// Makes room for a tracer's pins.
    pub fn prepare(&self, tracer: &str) -> io::Result<()> {
        fs::create_dir_all(self.links(tracer))
    }

    /// From here on this is the tracer's object: one write decides.
    pub fn commit(&self, tracer: &str, kept: &Kept, file: &ObjectFile) -> io::Result<()> {
        let object = self.object(tracer, kept.number);
        write(&object, &file.bytes())?;
        write(&self.state.join(format!("{tracer}.json")), &serde_json::to_vec(kept)?)?;
        self.objects(tracer).filter(|p| *p != object).for_each(|old| drop(fs::remove_file(old)));
        Ok(())
    }

    fn objects(&self, tracer: &str) -> impl Iterator<Item = PathBuf> {
        let prefix = format!("{tracer}.");
        let is_object = move |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix) && name.ends_with(".o")
        };
        fs::read_dir(&self.state).into_iter().flatten().flatten().map(|e| e.path()).filter(is_object)
    }

    /// Removes links that nobody holds, and maps that the object has no more.
    pub fn sweep(&self, tracer: &str, held: &BTreeSet<String>, maps: Option<&Shapes>) {
        let names = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten();
        for entry in names(self.links(tracer)) {
            if !held.contains(&*entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let Some(maps) = maps else { return };
        for entry in names(self.pins(tracer)) {
            let name = entry.file_name();
            if name != "links" && !maps.contains_key(&*name.to_string_lossy()) {
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
        self.objects(tracer).for_each(|object| drop(fs::remove_file(object)));
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
