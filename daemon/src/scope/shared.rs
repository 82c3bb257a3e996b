//! The maps that every object shares, made by loading `scope.bpf.o`.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use libbpf_rs::{MapCore, MapHandle, Object};
use thiserror::Error;

use super::abi::BITS;
use crate::tracer::{file::ObjectFile, log::with_log, open};

const SHARED: &[&str] = &[
    "remora_slots",
    "remora_scope",
    "remora_containers",
    "remora_entering",
    "remora_ring",
    "remora_scratch",
    "remora_reader",
    "remora_current",
];

#[derive(Debug, Error)]
#[error("failed to {verb} scope's {noun}: {cause}")]
pub struct ScopeError {
    verb: &'static str,
    noun: String,
    cause: String,
}

impl ScopeError {
    pub(super) fn new(verb: &'static str, noun: &str, cause: &dyn std::fmt::Display) -> Self {
        Self { verb, noun: noun.to_owned(), cause: cause.to_string() }
    }
}

#[derive(Debug)]
pub struct SharedMaps {
    maps: Vec<(&'static str, MapHandle)>,
    /// How many containers there is room for, and how large the ring is: of the maps as they are.
    pub containers: u32,
    pub ring_bytes: u32,
    /// Kernel's id of `remora_containers`, which every scoped program refers to.
    pub containers_id: u32,
}

impl SharedMaps {
    /// Whether maps of this name are the scope's.
    pub fn has(name: &str) -> bool {
        SHARED.contains(&name)
    }

    pub fn get(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.maps.iter().find(|(n, _)| *n == name).map(|(_, m)| m.as_fd())
    }

    pub fn handle(&self, name: &'static str) -> Result<&MapHandle, ScopeError> {
        let found = self.maps.iter().find(|(n, _)| *n == name).map(|(_, m)| m);
        found.ok_or_else(|| ScopeError::new("find", name, &"missing"))
    }
}

pub(super) fn load(
    containers: u32,
    nested: u32,
    ring_bytes: u32,
    pins: Option<&Path>,
) -> Result<(Object, Arc<SharedMaps>), ScopeError> {
    let fail = |noun: &str, cause: &dyn std::fmt::Display| ScopeError::new("load", noun, cause);
    if let Some(dir) = pins {
        for sub in ["maps", "links"] {
            fs::create_dir_all(dir.join(sub)).map_err(|e| fail(&dir.display().to_string(), &e))?;
        }
    }
    let processors = libbpf_rs::num_possible_cpus().map_err(|e| fail("remora_current", &e))? as u32;
    let mut object = open::open_object(&ObjectFile::scope()).map_err(|e| fail("object", &e))?;
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let size = match name.as_str() {
            "remora_containers" | "remora_stats" => Some(containers),
            "remora_scope" => Some(nested),
            "remora_ring" => Some(ring_bytes),
            "remora_current" => Some(BITS * processors),
            _ => None,
        };
        let pin = pins.filter(|_| SHARED.contains(&name.as_str())).map(|p| p.join("maps").join(&name));
        let kept = pin.as_ref().and_then(|p| MapHandle::from_pinned_path(p).ok());
        let result = match (kept, size) {
            (Some(old), _) => map.reuse_fd(old.as_fd()),
            (None, Some(size)) => map.set_max_entries(size),
            (None, None) => Ok(()),
        };
        result.map_err(|e| fail(&name, &e))?;
    }
    let mut object = with_log(|| object.load().map_err(|e| e.to_string())).map_err(|e| fail("object", &e))?;
    let mut maps = Vec::new();
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let Some(name) = SHARED.iter().find(|n| **n == name) else { continue };
        if let Some(path) = pins.map(|p| p.join("maps").join(name)).filter(|p| !p.exists()) {
            map.pin(path).map_err(|e| fail(name, &e))?;
        }
        maps.push((*name, MapHandle::try_from(&map).map_err(|e| fail(name, &e))?));
    }
    let entries = |name| maps.iter().find(|(n, _)| *n == name).map_or(0, |(_, m)| m.max_entries());
    let table = maps.iter().find(|(n, _)| *n == "remora_containers");
    let shared = SharedMaps {
        containers: entries("remora_containers"),
        ring_bytes: entries("remora_ring"),
        containers_id: map_id(table.ok_or_else(|| fail("remora_containers", &"missing"))?.1.as_fd())
            .map_err(|e| fail("remora_containers", &e))?,
        maps,
    };
    Ok((object, Arc::new(shared)))
}

/// The kernel's id of a map.
pub fn map_id(fd: BorrowedFd<'_>) -> std::io::Result<u32> {
    // SAFETY: plain data, for which zeroes are valid.
    let mut info: libbpf_sys::bpf_map_info = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&info) as u32;
    let at: *mut libbpf_sys::bpf_map_info = &mut info;
    // SAFETY: `info` outlives the call and is as long as it is told.
    let rc = unsafe { libbpf_sys::bpf_obj_get_info_by_fd(fd.as_raw_fd(), at.cast(), &mut len) };
    if rc == 0 { Ok(info.id) } else { Err(std::io::Error::last_os_error()) }
}
