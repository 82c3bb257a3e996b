//! Walks the kernel's maps; reading changes nothing.

use std::collections::BTreeSet;

use libbpf_rs::{MapCore, MapFlags, MapHandle};

/// The keys of a hash map, each once: where a key is deleted during the walk, the kernel begins it anew.
pub fn keys(map: &MapHandle) -> BTreeSet<Vec<u8>> {
    map.keys().take(2 * map.max_entries() as usize).collect()
}

/// One value, or one for each processor.
pub fn lookup(map: &MapHandle, key: &[u8]) -> Option<Vec<Vec<u8>>> {
    if map.map_type().is_percpu() {
        map.lookup_percpu(key, MapFlags::ANY).ok()?
    } else {
        map.lookup(key, MapFlags::ANY).ok()?.map(|v| vec![v])
    }
}

/// Takes an entry out. Of several who want it, one gets it.
pub fn take(map: &MapHandle, key: &[u8]) -> Option<Vec<Vec<u8>>> {
    // One step where the kernel can: hash maps from 5.14 on.
    if !map.map_type().is_percpu()
        && let Ok(value) = map.lookup_and_delete(key)
    {
        return value.map(|v| vec![v]);
    }
    let value = lookup(map, key)?;
    map.delete(key).is_ok().then_some(value)
}

/// The container's place that a key has.
pub fn place(key: &[u8], at: usize) -> Option<u32> {
    let bytes = key.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// Deletes a container's entries of a hash map.
pub fn forget(map: &MapHandle, index_at: usize, index: u32) {
    let all = keys(map);
    let mine = all.iter().filter(|k| place(k, index_at) == Some(index));
    mine.for_each(|key| drop(map.delete(key)));
}
