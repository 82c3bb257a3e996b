//! docker. What it knows of one container is read from its files: `GET /containers/ID/json` waits for the start that
//! waits for us. Lists and events come over its socket.

mod files;
mod http;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use remora_wire::Notice;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Facts, Labels, Manager, ManagerError, News};
use files::Container;
use http::{Answer, HttpError};

const NAME: &str = "docker";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest list of containers, in bytes: some ten thousand.
const MAX_LIST: usize = 32 << 20;
/// Longest line of the stream of events, which carries all labels of a container.
const MAX_EVENT: usize = 1 << 20;
/// docker's own namespace in containerd.
const NAMESPACE: &str = "moby";
/// `{"type":["container"],"event":["start","rename","die","destroy"]}`
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C\
                      %22rename%22%2C%22die%22%2C%22destroy%22%5D%7D";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub socket: PathBuf,
    /// docker's `data-root`.
    pub data_root: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { socket: "/run/docker.sock".into(), data_root: "/var/lib/docker".into() }
    }
}

#[derive(Debug)]
pub struct Docker {
    settings: Settings,
}

/// An element of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Event {
    action: String,
    actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

impl Docker {
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone() }
    }

    fn failed(&self, why: impl ToString) -> ManagerError {
        ManagerError::Failed {
            manager: NAME,
            at: self.settings.socket.display().to_string(),
            why: why.to_string(),
        }
    }

    fn late(&self, at: &Path) -> ManagerError {
        ManagerError::Late { manager: NAME, at: at.display().to_string(), within: PATIENCE }
    }

    async fn get(&self, target: &str) -> Result<Answer, ManagerError> {
        let at = || self.settings.socket.display().to_string();
        match timeout(PATIENCE, http::get(&self.settings.socket, target)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(HttpError::Absent(why))) => Err(ManagerError::Absent { manager: NAME, at: at(), why }),
            Ok(Err(HttpError::Failed(why))) => Err(self.failed(why)),
            Err(_) => Err(self.late(&self.settings.socket)),
        }
    }

    async fn json<T: for<'de> Deserialize<'de>>(&self, target: &str) -> Result<T, ManagerError> {
        let answer = self.get(target).await?;
        let bytes = match timeout(PATIENCE, answer.bytes(MAX_LIST)).await {
            Ok(bytes) => bytes.map_err(|why| self.failed(why))?,
            Err(_) => return Err(self.late(&self.settings.socket)),
        };
        serde_json::from_slice(&bytes).map_err(|e| self.failed(format!("the answer to {target}: {e}")))
    }

    /// On a thread that may wait: a disk can be as slow as a daemon.
    async fn read(&self, id: &str) -> Result<Option<Container>, ManagerError> {
        let (root, own) = (self.settings.data_root.clone(), id.to_owned());
        let read = tokio::task::spawn_blocking(move || files::read(&root, &own));
        match timeout(PATIENCE, read).await {
            Ok(Ok(Ok(container))) => Ok(container),
            Ok(Ok(Err(e))) => Err(self.failed(format!("container {id}: {e}"))),
            Ok(Err(e)) => Err(self.failed(e)),
            Err(_) => Err(self.late(&self.settings.data_root)),
        }
    }

    async fn facts(&self, id: &str) -> Result<Option<Facts>, ManagerError> {
        let Some(container) = self.read(id).await? else { return Ok(None) };
        let image = match &container.image_labels {
            Some(labels) => Some(labels.clone()),
            None if container.labels.is_empty() => Some(Labels::new()),
            None => self.image_labels(&container.image_id).await,
        };
        let (labels, image_labels) = divide(container.labels, image);
        Ok(Some(Facts {
            id: id.to_owned(),
            name: container.name,
            labels,
            image_labels,
            image_name: container.image_name,
            image_id: container.image_id,
            pid: container.pid,
            ..Facts::default()
        }))
    }

    /// Where docker keeps its images in containerd, their labels are in no file.
    async fn image_labels(&self, image: &str) -> Option<Labels> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "PascalCase")]
        struct Image {
            config: Option<files::Config>,
        }
        let digest = files::is_digest(image).then_some(image)?;
        let image: Image = self.json(&format!("/images/{digest}/json")).await.ok()?;
        Some(image.config?.labels.unwrap_or_default())
    }

    /// Of one that runs, as its files say, else as the list does.
    async fn listed(&self, listed: Listed) -> Facts {
        if let Ok(Some(facts)) = self.facts(&listed.id).await {
            return facts;
        }
        let name = listed.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let (labels, image_labels) = divide(listed.labels.unwrap_or_default(), None);
        Facts {
            id: listed.id,
            name: name.trim_start_matches('/').to_owned(),
            labels,
            image_labels,
            image_name: listed.image,
            image_id: listed.image_id,
            ..Facts::default()
        }
    }

    async fn tell(&self, line: &[u8], news: &mpsc::Sender<News>) -> Result<bool, ManagerError> {
        if line.trim_ascii().is_empty() {
            return Ok(true);
        }
        let event: Event = serde_json::from_slice(line).map_err(|e| self.failed(format!("an event: {e}")))?;
        let id = event.actor.id;
        let message = match event.action.as_str() {
            "start" | "rename" => self.facts(&id).await?.map(News::Known),
            "die" | "destroy" => Some(News::Ended { id }),
            _ => None,
        };
        Ok(match message {
            Some(message) => news.send(message).await.is_ok(),
            None => true,
        })
    }
}

/// docker merges an image's labels into its containers'. A label that both have alike is the image's; where the image's
/// are not known, any may be.
fn divide(all: Labels, image: Option<Labels>) -> (Labels, Labels) {
    match image {
        Some(image) => {
            (all.into_iter().filter(|(key, value)| image.get(key) != Some(value)).collect(), image)
        }
        None => (Labels::new(), all),
    }
}

/// The namespace of a bundle that containerd made for this container.
fn namespace<'a>(bundle: &'a Path, id: &str) -> Option<&'a str> {
    let mut up = bundle.components().rev().map(|part| part.as_os_str());
    let own = up.next().is_some_and(|name| name == id);
    let namespace = up.next()?.to_str()?;
    let task = up.next()?.to_str().is_some_and(|name| name.starts_with("io.containerd.runtime."));
    (own && task).then_some(namespace)
}

impl Manager for Docker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn owns(&self, notice: &Notice) -> bool {
        match namespace(Path::new(&notice.bundle), &notice.id) {
            Some(NAMESPACE) => true,
            // A docker that was told to use another namespace.
            Some(_) => files::config(&self.settings.data_root, &notice.id).is_some_and(|file| file.exists()),
            None => false,
        }
    }

    fn about<'a>(
        &'a self,
        id: &'a str,
        bundle: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Facts>, ManagerError>> {
        async move {
            let facts = self.facts(id).await?;
            Ok(facts.map(|facts| Facts { bundle: bundle.display().to_string(), ..facts }))
        }
        .boxed()
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Facts>, ManagerError>> {
        async move {
            let all: Vec<Listed> = self.json("/containers/json").await?;
            let mut facts = Vec::with_capacity(all.len());
            for listed in all {
                facts.push(self.listed(listed).await);
            }
            Ok(facts)
        }
        .boxed()
    }

    fn watch(&self, news: mpsc::Sender<News>) -> BoxFuture<'_, Result<(), ManagerError>> {
        async move {
            let mut answer = self.get(EVENTS).await?;
            let mut rest = Vec::new();
            loop {
                let more = tokio::select! {
                    more = answer.more() => more.map_err(|why| self.failed(why))?,
                    () = news.closed() => return Ok(()),
                };
                let Some(bytes) = more else { return Ok(()) };
                rest.extend_from_slice(&bytes);
                while let Some(end) = rest.iter().position(|&b| b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    if !self.tell(&line, &news).await? {
                        return Ok(());
                    }
                }
                if rest.len() > MAX_EVENT {
                    return Err(self.failed(format!("an event is longer than {MAX_EVENT} bytes")));
                }
            }
        }
        .boxed()
    }
}
