//! Profiles on disk, below the state's folder: a file each, as a person reads it.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use remora_alert::profile::{Key, Profile, Profiles};
use serde_json::Value;

use super::command::{Change, ProfileView, Refused};
use super::keep::private;
use crate::tracer::keep::write;

#[derive(Debug)]
pub struct Shelf {
    dir: PathBuf,
    /// Whether anything is learned.
    learns: bool,
    /// By key, as they were written: the file's name, and by what it is told that more was learned.
    written: HashMap<String, (String, Value)>,
}

impl Shelf {
    pub fn new(dir: &Path, learns: bool) -> Self {
        Self { dir: dir.to_owned(), learns, written: HashMap::new() }
    }

    /// What an earlier daemon knew. What cannot be read is set aside, for a person to look at.
    pub fn load(&mut self, profiles: &mut Profiles) {
        if !self.learns {
            return;
        }
        if let Err(e) = private(&self.dir) {
            tracing::warn!("failed to create {}: {e}", self.dir.display());
        }
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|e| e.path());
        for path in entries.filter(|p| p.extension().is_some_and(|e| e == "yaml")) {
            let read = fs::read_to_string(&path).map_err(|e| e.to_string());
            match read.and_then(|text| parse(&text)) {
                Ok(profile) => profiles.import(profile),
                Err(why) => {
                    tracing::error!(
                        "failed to read profile {}: {why}; it is kept as NAME.bad",
                        path.display()
                    );
                    let _ = fs::rename(&path, path.with_extension("bad"));
                }
            }
        }
    }

    /// Writes those that have learned more, and removes those that are gone.
    pub fn save(&mut self, profiles: &Profiles) {
        if !self.learns {
            return;
        }
        if let Err(e) = self.write(profiles) {
            tracing::warn!("failed to write profiles to {}: {e}", self.dir.display());
        }
    }

    fn write(&mut self, profiles: &Profiles) -> io::Result<()> {
        let mut written = HashMap::new();
        for summary in profiles.iter() {
            let Some(profile) = profiles.get(&summary.of) else { continue };
            let (name, now) = (summary.of.file_name(), serde_json::to_value(&summary).unwrap_or_default());
            if self.written.get(&summary.key).is_none_or(|(_, before)| *before != now) {
                write(&self.dir.join(&name), profile.to_yaml().as_bytes())?;
            }
            written.insert(summary.key, (name, now));
        }
        for (name, _) in self.written.iter().filter(|(key, _)| !written.contains_key(*key)).map(|(_, v)| v) {
            let _ = fs::remove_file(self.dir.join(name));
        }
        self.written = written;
        Ok(())
    }

    /// How many there are, by state.
    pub fn states(profiles: &Profiles) -> BTreeMap<String, u64> {
        let mut states = BTreeMap::new();
        for summary in profiles.iter() {
            let state = serde_json::to_value(summary.state).ok();
            let state = state.as_ref().and_then(Value::as_str).unwrap_or_default();
            *states.entry(state.to_owned()).or_default() += 1;
        }
        states
    }

    pub fn list(profiles: &Profiles) -> Vec<Value> {
        profiles.iter().filter_map(|summary| serde_json::to_value(summary).ok()).collect()
    }

    pub fn show(profiles: &Profiles, key: &str) -> Option<ProfileView> {
        profiles.get(&key.parse().ok()?).map(|profile| ProfileView(profile.to_yaml()))
    }

    /// Written at once, since a person asked for it.
    pub fn change(&mut self, profiles: &mut Profiles, key: &str, change: Change) -> Result<(), Refused> {
        let key: Key = key.parse().map_err(|_| Refused::Unknown)?;
        if !self.learns {
            return Err(Refused::Text(
                "profiles are switched off: set alerts.profiles in the configuration".into(),
            ));
        }
        let known = match change {
            Change::Import(text, pin) => {
                let profile = parse(&text).map_err(Refused::Text)?;
                if *profile.key() != key {
                    return Err(Refused::Text(format!("the profile is of {}, not of {key}", profile.key())));
                }
                if pin {
                    profiles.pin(profile)
                } else {
                    profiles.import(profile)
                }
                true
            }
            Change::Pin => {
                let profile = profiles.get(&key).cloned();
                profile.map(|profile| profiles.pin(profile)).is_some()
            }
            Change::Unpin => profiles.unpin(&key),
            Change::Remove => profiles.remove(&key),
        };
        if !known {
            return Err(Refused::Unknown);
        }
        self.save(profiles);
        Ok(())
    }
}

fn parse(text: &str) -> Result<Profile, String> {
    Profile::from_yaml(text).map_err(|e| format!("{}:{}: {}", e.place.line, e.place.column, e.what))
}

#[cfg(test)]
mod tests {
    use remora_alert::profile::Settings;

    use super::*;

    #[test]
    fn profiles_are_files_that_come_and_go_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key { image: "shop".into(), digest: "sha256:1".into(), role: "web".into() };
        let text = Profile::new(key.clone()).to_yaml();
        let name = key.to_string();
        let files = || fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
        let (mut profiles, mut shelf) = (Profiles::new(Settings::default()), Shelf::new(dir.path(), true));
        shelf.load(&mut profiles);
        assert_eq!(shelf.change(&mut profiles, &name, Change::Pin), Err(Refused::Unknown));
        let wrong = shelf.change(&mut profiles, "shop@sha256:2", Change::Import(text.clone(), false));
        assert!(matches!(wrong, Err(Refused::Text(why)) if why.contains("of shop@sha256:1/web")));
        let bad = shelf.change(&mut profiles, &name, Change::Import("remora-profile: [".into(), false));
        assert!(matches!(bad, Err(Refused::Text(why)) if why.starts_with("1:")), "by line and column");
        shelf.change(&mut profiles, &name, Change::Import(text, true)).unwrap();
        assert_eq!(Shelf::states(&profiles), [("pinned".to_owned(), 1)].into());
        assert_eq!(files().len(), 1);

        fs::write(dir.path().join("odd.yaml"), "remora-profile: 9").unwrap();
        let (mut again, mut shelf) = (Profiles::new(Settings::default()), Shelf::new(dir.path(), true));
        shelf.load(&mut again);
        assert_eq!(Shelf::show(&again, &name).map(|p| p.0), Shelf::show(&profiles, &name).map(|p| p.0));
        assert!(dir.path().join("odd.bad").exists());
        shelf.save(&again);
        shelf.change(&mut again, &name, Change::Unpin).unwrap();
        shelf.change(&mut again, &name, Change::Remove).unwrap();
        assert_eq!(files(), [dir.path().join("odd.bad")]);
    }
}
