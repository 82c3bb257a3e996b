//! containerd: its containers of all namespaces but docker's, and the pods that its CRI plugin keeps among them.
//! Only its records are read. A task's state waits for the task's hooks, so nobody asks for it: init's pid is
//! in the bundle or in an event.

mod image;
mod record;
mod told;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use containerd_client::services::v1::{
    Container, GetContainerRequest, ListContainersRequest, ListNamespacesRequest, SubscribeRequest,
    containers_client::ContainersClient, events_client::EventsClient, namespaces_client::NamespacesClient,
    version_client::VersionClient,
};
use futures_util::{FutureExt, future::BoxFuture};
use remora_wire::Notice;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tonic::{Request, transport::Channel};

use self::{
    record::{Record, Sandbox},
    told::Told,
};
use super::{
    Facts, Manager, ManagerError, News,
    grpc::{LISTING, Peer, QUESTION},
};
use crate::host::proc;

/// docker's own, which docker knows more of.
const DOCKERS: &str = "moby";
/// Below containerd's state folder: `NAMESPACE/ID` is a bundle.
const TASKS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];
/// The kernel keeps 15 bytes of a process's name.
const SHIM: &str = "containerd-shim";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub socket: PathBuf,
    /// containerd's `state`; the socket's folder if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { socket: "/run/containerd/containerd.sock".into(), state: None }
    }
}

#[derive(Debug)]
pub struct Containerd {
    peer: Peer,
    state: PathBuf,
}

/// Sandboxes that were looked up already, and images.
#[derive(Default)]
struct Seen {
    sandboxes: BTreeMap<String, Option<Sandbox>>,
    images: BTreeMap<String, Option<image::Image>>,
}

impl Containerd {
    pub fn new(settings: &Settings) -> Self {
        let folder = || settings.socket.parent().unwrap_or(Path::new("/")).to_owned();
        Self {
            peer: Peer { manager: "containerd", socket: settings.socket.clone() },
            state: settings.state.clone().unwrap_or_else(folder),
        }
    }

    /// Namespace and id of a bundle of ours.
    fn place<'a>(&self, bundle: &'a Path) -> Option<(&'a str, &'a str)> {
        let below = TASKS.iter().find_map(|kind| bundle.strip_prefix(self.state.join(kind)).ok())?;
        let mut parts = below.iter().map(|part| part.to_str());
        let place = (parts.next()??, parts.next()??);
        (parts.next().is_none() && place.0 != DOCKERS).then_some(place)
    }

    /// Where a container's bundle is, while it has one.
    fn bundle(&self, namespace: &str, id: &str) -> Option<PathBuf> {
        let bundles = TASKS.iter().map(|kind| self.state.join(kind).join(namespace).join(id));
        bundles.into_iter().find(|bundle| bundle.is_dir())
    }

    fn request<T>(&self, namespace: &str, message: T) -> Result<Request<T>, ManagerError> {
        let mut request = Request::new(message);
        let namespace = namespace.parse().map_err(|e| ManagerError::Failed {
            manager: self.peer.manager,
            at: self.peer.socket.display().to_string(),
            why: format!("namespace {namespace:?}: {e}"),
        })?;
        request.metadata_mut().insert("containerd-namespace", namespace);
        Ok(request)
    }

    async fn namespaces(&self, channel: &Channel) -> Result<Vec<String>, ManagerError> {
        let request = Request::new(ListNamespacesRequest::default());
        let answer = NamespacesClient::new(channel.clone()).list(request).await;
        let answer = answer.map_err(|e| self.peer.failed(&e))?.into_inner();
        Ok(answer.namespaces.into_iter().map(|n| n.name).filter(|name| name != DOCKERS).collect())
    }

    async fn get(
        &self,
        channel: &Channel,
        namespace: &str,
        id: &str,
    ) -> Result<Option<Container>, ManagerError> {
        let request = self.request(namespace, GetContainerRequest { id: id.to_owned() })?;
        let answer = ContainersClient::new(channel.clone()).get(request).await;
        Ok(self.peer.found(answer)?.and_then(|a| a.into_inner().container))
    }

    /// Of a container of this namespace, if there is one.
    async fn facts(
        &self,
        channel: &Channel,
        namespace: &str,
        id: &str,
    ) -> Result<Option<Facts>, ManagerError> {
        match self.get(channel, namespace, id).await? {
            Some(found) => {
                self.complete(channel, namespace, Record::of(found), &mut Seen::default()).await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// With what is said elsewhere: of its pod by the sandbox, of its labels by the image.
    async fn complete(
        &self,
        channel: &Channel,
        namespace: &str,
        record: Record,
        seen: &mut Seen,
    ) -> Result<Facts, ManagerError> {
        let mut facts = record.facts;
        if let Some(id) = record.sandbox {
            if !seen.sandboxes.contains_key(&id) {
                let found = self.get(channel, namespace, &id).await?;
                seen.sandboxes.insert(id.clone(), found.and_then(|c| Sandbox::of(&c)));
            }
            if let Some(Some(sandbox)) = seen.sandboxes.get(&id) {
                sandbox.tell(&mut facts);
            }
        } else if record.merged && !facts.image_name.is_empty() {
            let name = facts.image_name.clone();
            if !seen.images.contains_key(&name) {
                seen.images.insert(name.clone(), self.image(channel, namespace, &name).await?);
            }
            image::part(&mut facts, seen.images.get(&name).and_then(Option::as_ref));
        }
        if let Some(bundle) = self.bundle(namespace, &facts.id) {
            facts.pid = init(&bundle);
            facts.bundle = bundle.display().to_string();
        }
        Ok(facts)
    }

    /// Those of a namespace that run. The answer is a stream: each record brings a whole specification along.
    async fn running_in(&self, channel: &Channel, namespace: &str) -> Result<Vec<Facts>, ManagerError> {
        let request = self.request(namespace, ListContainersRequest::default())?;
        let answer = ContainersClient::new(channel.clone()).list_stream(request).await;
        let mut stream = answer.map_err(|e| self.peer.failed(&e))?.into_inner();
        let mut seen = Seen::default();
        let mut records = Vec::new();
        while let Some(message) = stream.message().await.map_err(|e| self.peer.failed(&e))? {
            let Some(found) = message.container else { continue };
            if let Some(sandbox) = Sandbox::of(&found) {
                seen.sandboxes.insert(found.id.clone(), Some(sandbox));
            }
            let runs = self.bundle(namespace, &found.id).and_then(|bundle| init(&bundle)).is_some();
            records.extend(runs.then(|| Record::of(found)));
        }
        let mut all = Vec::new();
        for record in records {
            all.push(self.complete(channel, namespace, record, &mut seen).await?);
        }
        Ok(all)
    }

    /// What the manager's event is for us; of a container, only if it is still known.
    async fn news(
        &self,
        channel: &Channel,
        namespace: &str,
        told: Told,
    ) -> Result<Option<News>, ManagerError> {
        let (id, pid) = match told {
            Told::Ended { id } => return Ok(Some(News::Ended { id })),
            Told::Began { id, pid } => (id, Some(pid)),
            Told::Changed { id } => (id, None),
        };
        let facts = self.peer.within(QUESTION, self.facts(channel, namespace, &id)).await?;
        Ok(facts.map(|facts| News::Known(Facts { pid: pid.or(facts.pid), ..facts })))
    }

    async fn follow(&self, news: mpsc::Sender<News>) -> Result<(), ManagerError> {
        let channel = self.peer.connect();
        let channel = self.peer.within(QUESTION, channel).await?;
        // A stream has no answer before its first event: that there is somebody is asked otherwise.
        let mut version = VersionClient::new(channel.clone());
        let asked = version.version(()).map(|answer| answer.map_err(|e| self.peer.failed(&e)));
        self.peer.within(QUESTION, asked).await?;
        let filters = told::filters(DOCKERS);
        let answer = EventsClient::new(channel.clone()).subscribe(SubscribeRequest { filters }).await;
        let mut events = answer.map_err(|e| self.peer.failed(&e))?.into_inner();
        while let Some(event) = events.message().await.map_err(|e| self.peer.failed(&e))? {
            let value = event.event.as_ref().map_or(&[][..], |any| &any.value);
            let told = Told::of(&event.topic, value).filter(|_| event.namespace != DOCKERS);
            let Some(told) = told else { continue };
            if let Some(one) = self.news(&channel, &event.namespace, told).await?
                && news.send(one).await.is_err()
            {
                break;
            }
        }
        Ok(())
    }
}

/// Init's pid, while it lives. The runtime writes it once the hooks have ended, and nobody removes it when init
/// ends: only a shim's child is one.
fn init(bundle: &Path) -> Option<u32> {
    let pid = std::fs::read_to_string(bundle.join("init.pid")).ok()?.trim().parse().ok()?;
    let parent = proc::ppid(pid).ok()?;
    proc::comm(parent).ok()?.starts_with(SHIM).then_some(pid)
}

impl Manager for Containerd {
    fn name(&self) -> &'static str {
        self.peer.manager
    }

    fn owns(&self, notice: &Notice) -> bool {
        self.place(Path::new(&notice.bundle)).is_some_and(|(_, id)| id == notice.id)
    }

    fn about<'a>(
        &'a self,
        id: &'a str,
        bundle: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Facts>, ManagerError>> {
        let ask = async move {
            let channel = self.peer.connect().await?;
            let namespaces = match self.place(bundle) {
                Some((namespace, _)) => vec![namespace.to_owned()],
                None => self.namespaces(&channel).await?,
            };
            for namespace in namespaces {
                if let Some(facts) = self.facts(&channel, &namespace, id).await? {
                    return Ok(Some(facts));
                }
            }
            Ok(None)
        };
        self.peer.within(QUESTION, ask).boxed()
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Facts>, ManagerError>> {
        let ask = async {
            let channel = self.peer.connect().await?;
            let mut all = Vec::new();
            for namespace in self.namespaces(&channel).await? {
                all.extend(self.running_in(&channel, &namespace).await?);
            }
            Ok(all)
        };
        self.peer.within(LISTING, ask).boxed()
    }

    fn watch(&self, news: mpsc::Sender<News>) -> BoxFuture<'_, Result<(), ManagerError>> {
        self.follow(news).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_tells_namespace_and_id_and_dockers_are_not_ours() {
        let own =
            Containerd::new(&Settings { socket: "/run/k3s/containerd/containerd.sock".into(), state: None });
        let tasks = "/run/k3s/containerd/io.containerd.runtime.v2.task";
        let place = |bundle: &str| own.place(Path::new(bundle)).map(|(n, i)| (n.to_owned(), i.to_owned()));
        assert_eq!(place(&format!("{tasks}/k8s.io/abc")), Some(("k8s.io".into(), "abc".into())));
        assert_eq!(place(&format!("{tasks}/moby/abc")), None);
        assert_eq!(place(&format!("{tasks}/k8s.io")), None);
        assert_eq!(place(&format!("{tasks}/k8s.io/abc/rootfs")), None);
        assert_eq!(place("/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn a_stale_pid_is_nobodys_init() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(init(dir.path()), None);
        for text in ["", "0", "1", "-1", "x", &std::process::id().to_string()] {
            std::fs::write(dir.path().join("init.pid"), text).unwrap();
            assert_eq!(init(dir.path()), None, "{text:?}");
        }
    }

    #[test]
    fn settings_are_read_leniently_but_not_wrongly() {
        assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
        let moved = toml::from_str::<Settings>("socket = \"/s\"\nstate = \"/t\"").unwrap();
        assert_eq!((moved.socket, moved.state), ("/s".into(), Some("/t".into())));
        assert!(toml::from_str::<Settings>("sockets = \"/s\"").is_err());
    }
}
