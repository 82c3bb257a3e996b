//! podman, by the files it leaves: its commands wait for the lock of a container whose hook runs, a file does not.

mod bolt;
mod changes;
mod database;
mod facts;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use futures_util::future::BoxFuture;
use remora_wire::Notice;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Facts, Manager, ManagerError, News};
use changes::Changes;

const NAME: &str = "podman";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where containers that no hook announced are looked for; root's.
    pub storage: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { storage: vec!["/var/lib/containers/storage".into()] }
    }
}

#[derive(Debug)]
pub struct Podman {
    storages: Vec<PathBuf>,
}

impl Podman {
    pub fn new(settings: &Settings) -> Self {
        Self { storages: settings.storage.clone() }
    }

    /// Of all storages that are there.
    async fn all(&self) -> Result<Vec<Facts>, ManagerError> {
        let mut all = Vec::new();
        let mut absent = None;
        for storage in &self.storages {
            let of_one = in_background(storage.clone(), |storage| {
                let documents = database::containers(storage)?;
                Ok(documents.iter().filter_map(|d| facts::of(storage, d)).collect::<Vec<_>>())
            });
            match of_one.await {
                Ok(found) => all.extend(found),
                Err(e @ ManagerError::Absent { .. }) => absent = Some(e),
                Err(e) => return Err(e),
            }
        }
        match absent {
            Some(e) if all.is_empty() => Err(e),
            _ => Ok(all.into_iter().filter(|facts| facts.pid.is_some()).collect()),
        }
    }
}

impl Manager for Podman {
    fn name(&self) -> &'static str {
        NAME
    }

    fn owns(&self, notice: &Notice) -> bool {
        let manager = notice.annotations.get("io.container.manager").map(String::as_str);
        manager.is_none_or(|m| m == "libpod") && storage_of(Path::new(&notice.bundle), &notice.id).is_some()
    }

    fn about<'a>(
        &'a self,
        id: &'a str,
        bundle: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Facts>, ManagerError>> {
        Box::pin(async move {
            let Some(storage) = storage_of(bundle, id) else { return Ok(None) };
            let id = id.to_owned();
            in_background(storage.to_owned(), move |storage| {
                Ok(database::container(storage, &id)?.and_then(|d| facts::of(storage, &d)))
            })
            .await
        })
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Facts>, ManagerError>> {
        Box::pin(self.all())
    }

    fn watch(&self, news: mpsc::Sender<News>) -> BoxFuture<'_, Result<(), ManagerError>> {
        Box::pin(async move {
            let Some(first) = self.storages.first() else { return std::future::pending().await };
            let failed = |e: io::Error| trouble(first, &e);
            let changes = Changes::of(&self.storages).map_err(failed)?;
            let mut before = by_id(self.all().await?);
            loop {
                changes.next().await.map_err(failed)?;
                let now = by_id(self.all().await?);
                for facts in now.values().filter(|f| before.get(&f.id) != Some(f)) {
                    let _ = news.send(News::Known(facts.clone())).await;
                }
                for id in before.into_keys().filter(|id| !now.contains_key(id)) {
                    let _ = news.send(News::Ended { id }).await;
                }
                before = now;
            }
        })
    }
}

fn by_id(all: Vec<Facts>) -> BTreeMap<String, Facts> {
    all.into_iter().map(|facts| (facts.id.clone(), facts)).collect()
}

/// A container's bundle is `STORAGE/DRIVER-containers/ID/userdata`.
fn storage_of<'a>(bundle: &'a Path, id: &str) -> Option<&'a Path> {
    let container = bundle.parent().filter(|_| bundle.ends_with("userdata") && bundle.is_absolute())?;
    let all = container.parent().filter(|_| !id.is_empty() && container.ends_with(id))?;
    let kind = all.file_name()?.to_str()?;
    all.parent().filter(|_| kind.ends_with("-containers"))
}

/// Files are read where waiting for them holds nobody up.
async fn in_background<T: Send + 'static>(
    storage: PathBuf,
    read: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, ManagerError> {
    let at = storage.clone();
    let result = tokio::task::spawn_blocking(move || read(&storage)).await;
    result.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(|e| trouble(&at, &e))
}

fn trouble(storage: &Path, error: &io::Error) -> ManagerError {
    let (at, why) = (storage.display().to_string(), error.to_string());
    match error.kind() {
        io::ErrorKind::NotFound => ManagerError::Absent { manager: NAME, at, why },
        _ => ManagerError::Failed { manager: NAME, at, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_bundle_tells_whose_it_is() {
        let of = |bundle: &str| storage_of(Path::new(bundle), "c1").map(|s| s.display().to_string());
        assert_eq!(of("/var/lib/s/overlay-containers/c1/userdata").as_deref(), Some("/var/lib/s"));
        assert_eq!(of("/s/vfs-containers/c1/userdata").as_deref(), Some("/s"));
        for other in [
            "/s/overlay-containers/c2/userdata",
            "/s/c1/userdata",
            "/run/c1",
            "s/x-containers/c1/userdata",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn what_the_database_says_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let podman = Podman::new(&Settings { storage: vec![dir.path().to_owned()] });
        assert!(matches!(podman.running().await, Err(ManagerError::Absent { .. })));
        assert!(podman.watch(mpsc::channel(1).0).await.is_err());

        database::tests::sqlite(dir.path(), "a", r#"{"id":"a","name":"web"}"#, "{}");
        assert_eq!(podman.running().await.unwrap(), []);
        let bundle = dir.path().join("overlay-containers/a/userdata");
        let facts = podman.about("a", &bundle).await.unwrap().unwrap();
        assert_eq!((facts.name.as_str(), facts.pid), ("web", None));
        assert_eq!(podman.about("a", Path::new("/run/a")).await.unwrap(), None);
    }
}
