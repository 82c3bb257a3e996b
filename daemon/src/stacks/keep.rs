//! What a daemon that stops in order leaves to the next one: names of programs that may have ended since.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::store::{Sample, Store};
use super::{Stack, Stacks};
use crate::tracer::keep::write;

#[derive(Debug, Serialize, Deserialize)]
struct File {
    /// Of another boot, nothing is worth anything.
    boot: String,
    stores: Vec<(u64, Saved)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    rows: Vec<((u32, Vec<u8>), Stacks)>,
    /// Tables, their units and what was kept of them.
    kept: Vec<(String, String, Samples)>,
}

type Samples = Vec<(Sample, u64)>;

/// Of containers that live.
pub fn save<'s>(path: &Path, boot: &str, stores: impl Iterator<Item = (u64, &'s Store)>) -> io::Result<()> {
    let one = |store: &Store| Saved {
        rows: store.rows.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        kept: store
            .all_kept()
            .map(|(t, k)| (t.to_owned(), k.unit.clone(), k.samples.clone().into_iter().collect()))
            .collect(),
    };
    let live = stores.filter(|(_, s)| s.until.is_none());
    let file = File { boot: boot.to_owned(), stores: live.map(|(root, s)| (root, one(s))).collect() };
    if file.stores.is_empty() {
        return Ok(());
    }
    write(path, &serde_json::to_vec(&file)?)
}

/// Takes up what an earlier daemon left. It is good for once: ids of stacks are given anew.
pub fn load(path: &Path, boot: &str) -> Vec<(u64, Store)> {
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    let _ = fs::remove_file(path);
    match serde_json::from_slice::<File>(&bytes) {
        Ok(file) if file.boot == boot => {
            file.stores.into_iter().map(|(root, s)| (root, restore(s))).collect()
        }
        _ => Vec::new(),
    }
}

fn restore(saved: Saved) -> Store {
    let mut store = Store::default();
    for (place, stacks) in saved.rows {
        let stacks = shared(&mut store, stacks);
        store.rows.insert(place, stacks);
    }
    for (table, unit, samples) in saved.kept {
        for (Sample { comm, stacks }, weight) in samples {
            let sample = Sample { comm: store.intern(&comm), stacks: shared(&mut store, stacks) };
            store.keep(&table, &unit, sample, weight);
        }
    }
    store
}

/// The same, with one copy of each name.
fn shared(store: &mut Store, stacks: Stacks) -> Stacks {
    let mut one = |stack: Stack| -> Stack { stack.iter().map(|name| store.intern(name)).collect() };
    Stacks { user: stacks.user.map(&mut one), kernel: stacks.kernel.map(&mut one) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found_once_and_in_this_boot_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stacks.json");
        let mut store = Store::default();
        let stack: Stack = [store.intern("main"), store.intern("f")].into();
        let stacks = Stacks { user: Some(stack), kernel: None };
        store.rows.insert((7, vec![1, 2]), stacks.clone());
        let sample = Sample { comm: "sh".into(), stacks: stacks.clone() };
        store.keep("t", "samples", sample.clone(), 5);
        let save = |boot| save(&path, boot, [(1, &store)].into_iter()).unwrap();
        save("a boot");
        let loaded = load(&path, "a boot");
        assert_eq!((loaded.len(), loaded[0].0), (1, 1));
        assert_eq!(loaded[0].1.rows[&(7, vec![1, 2])], stacks);
        let kept = loaded[0].1.kept("t").unwrap();
        assert_eq!((kept.unit.as_str(), kept.samples[&sample]), ("samples", 5));
        assert!(load(&path, "a boot").is_empty());
        save("a boot");
        assert!(load(&path, "another boot").is_empty());
        fs::write(&path, "{").unwrap();
        assert!(load(&path, "a boot").is_empty());
    }
}
