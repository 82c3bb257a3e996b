//! Profiles on disk, below the state's folder: a file each, as a person reads it.

use std::{collections::BTreeMap, path::{Path, PathBuf}};

use remora_alert::engine::Engine;
use serde_json::Value;

use super::command::{Change, ProfileView, Refused};

#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
    learns: bool,
}

impl Shelf {
    pub fn new(dir: &Path, learns: bool) -> Self {
        Self { dir: dir.to_owned(), learns }
    }

    pub fn load(&mut self, _engine: &mut Engine) {}

    pub fn save(&mut self, _engine: &Engine) {}

    pub fn states(&self, _engine: &Engine) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    pub fn list(&self, _engine: &Engine) -> Vec<Value> {
        Vec::new()
    }

    pub fn show(&self, _engine: &Engine, _key: &str) -> Option<ProfileView> {
        None
    }

    pub fn change(&mut self, _engine: &mut Engine, _key: &str, _change: Change) -> Result<(), Refused> {
        Err(Refused::Unknown)
    }
}
