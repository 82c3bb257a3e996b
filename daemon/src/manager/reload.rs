//! What of the configuration can change while the daemon runs: who is wanted. And the file that makes hooks ask.

use std::{fs, io, path::Path};

use remora_wire::Annotations;

use super::desk::{Desk, of_identity};
use crate::config::Config;
use crate::registry::Known;

/// Sections that are read again.
const LIVE: [&str; 2] = ["labels", "select"];

impl Desk {
    /// Takes the rules of the file as it is now; a file that is not understood changes nothing.
    pub async fn reload(&self, running: &Config, path: Option<&Path>) {
        let config = match Config::load(path) {
            Ok(config) => config,
            Err(e) => return tracing::error!("nothing of the configuration changes: {e}"),
        };
        for key in differences(running, &config) {
            tracing::warn!(
                "{key} has changed in the configuration, which takes effect when the daemon restarts"
            );
        }
        if config.rules() == *self.rules() {
            return tracing::info!("configuration read again: who is traced does not change");
        }
        self.put_rules(config.rules());
        self.mark();
        tracing::info!("configuration read again: labels and select now decide who is traced");
        self.reconsider().await;
    }

    /// Those whom the rules chose without a manager; the others come with its list.
    async fn reconsider(&self) {
        let rules = self.rules();
        for identity in self.registry().chosen().await {
            let (id, facts) = (identity.id.clone(), of_identity(identity));
            let keys = rules.wish(&Annotations::new(), &facts).0;
            self.registry().known(Known { id, learnt: rules.learnt(&facts), by: "", keys: Some(keys) }).await;
        }
    }

    /// Has hooks ask about everybody, or not.
    pub fn mark(&self) {
        let path = self.marker();
        let result = if self.rules().need_facts() { fs::write(path, "") } else { remove(path) };
        if let Err(e) = result {
            tracing::error!("failed to set {}, without which no hook asks about labels: {e}", path.display());
        }
    }

    /// A daemon that is gone costs nobody anything. What starts before the next one is found by its list.
    pub fn unmark(&self) {
        if let Err(e) = remove(self.marker()) {
            tracing::warn!("failed to remove {}: {e}", self.marker().display());
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Keys that differ and are not read again.
fn differences(running: &Config, new: &Config) -> Vec<String> {
    let table = |config| toml::Table::try_from(config).unwrap_or_default();
    let (running, new) = (table(running), table(new));
    let names = running.keys().chain(new.keys().filter(|name| !running.contains_key(*name)));
    let differs = |name: &&String| running.get(*name) != new.get(*name) && !LIVE.contains(&name.as_str());
    let below = |name: &String| match (running.get(name), new.get(name)) {
        (Some(toml::Value::Table(a)), Some(toml::Value::Table(b))) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.filter(|key| a.get(*key) != b.get(*key)).map(|key| format!("{name}.{key}")).collect()
        }
        _ => vec![name.clone()],
    };
    names.filter(differs).flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let running = Config::default();
        let mut new = Config::default();
        assert_eq!(differences(&running, &new), [] as [&str; 0]);
        new.limits.ended = 1;
        new.events.file = Some("/e".into());
        new.log = "debug".into();
        new.labels.image = true;
        let mut found = differences(&running, &new);
        found.sort();
        assert_eq!(found, ["events.file", "limits.ended", "log"]);
    }
}
