//! CRI, as a kubelet speaks it: CRI-O's containers and pods, or those of another runtime. A sandbox's status
//! waits for its hooks, so lists are asked for instead.

mod bundle;
mod facts;
mod poll;

use std::path::{Path, PathBuf};

use futures_util::{FutureExt, future::BoxFuture};
use k8s_cri::v1::{
    Container, ContainerEventResponse, ContainerEventType, ContainerFilter, ContainerState,
    ContainerStateValue, ContainerStatusRequest, ContainerStatusResponse, GetEventsRequest, ImageSpec,
    ImageStatusRequest, ListContainersRequest, ListPodSandboxRequest, PodSandbox, PodSandboxFilter,
    PodSandboxState, VersionRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use remora_wire::Notice;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tonic::{Code, transport::Channel};

use super::{
    Facts, Labels, Manager, ManagerError, News,
    grpc::{LISTING, MAX_MESSAGE, Peer, QUESTION},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub socket: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { socket: "/run/crio/crio.sock".into() }
    }
}

#[derive(Debug)]
pub struct Cri {
    peer: Peer,
}

type Runtime = RuntimeServiceClient<Channel>;

impl Cri {
    pub fn new(settings: &Settings) -> Self {
        Self { peer: Peer { manager: "cri", socket: settings.socket.clone() } }
    }

    async fn connect(&self) -> Result<Channel, ManagerError> {
        self.peer.connect().await
    }

    fn runtime(&self, channel: &Channel) -> Runtime {
        RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    async fn containers(
        &self,
        channel: &Channel,
        filter: ContainerFilter,
    ) -> Result<Vec<Container>, ManagerError> {
        let request = ListContainersRequest { filter: Some(filter) };
        let answer = self.runtime(channel).list_containers(request).await;
        Ok(answer.map_err(|e| self.peer.failed(&e))?.into_inner().containers)
    }

    /// All, or the one of this id.
    async fn sandboxes(&self, channel: &Channel, id: &str) -> Result<Vec<PodSandbox>, ManagerError> {
        let filter = PodSandboxFilter { id: id.to_owned(), ..PodSandboxFilter::default() };
        let request = ListPodSandboxRequest { filter: Some(filter) };
        let answer = self.runtime(channel).list_pod_sandbox(request).await;
        let mut found = answer.map_err(|e| self.peer.failed(&e))?.into_inner().items;
        // CRI-O takes the beginning of an id for it.
        found.retain(|sandbox| id.is_empty() || sandbox.id == id);
        Ok(found)
    }

    async fn status(&self, channel: &Channel, id: &str) -> Result<ContainerStatusResponse, ManagerError> {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let answer = self.peer.found(self.runtime(channel).container_status(request).await)?;
        Ok(answer.map(tonic::Response::into_inner).unwrap_or_default())
    }

    /// Empty where the image is gone.
    async fn image_labels(&self, channel: &Channel, image: &str) -> Result<Labels, ManagerError> {
        let image = Some(ImageSpec { image: image.to_owned(), ..ImageSpec::default() });
        let request = ImageStatusRequest { image, verbose: true };
        let answer = self.peer.found(ImageServiceClient::new(channel.clone()).image_status(request).await)?;
        Ok(answer.map(|a| facts::image_labels(&a.into_inner().info)).unwrap_or_default())
    }

    /// A listed container with what the list does not tell: the image's name and labels, and init's pid.
    async fn complete(
        &self,
        channel: &Channel,
        container: Container,
        sandbox: Option<&PodSandbox>,
    ) -> Result<Facts, ManagerError> {
        let status = self.status(channel, &container.id).await?;
        let mut facts = facts::of(container, &status);
        facts.image_labels = self.image_labels(channel, &facts.image_id).await?;
        if let Some(sandbox) = sandbox {
            facts::tell(sandbox, &mut facts);
        }
        Ok(facts)
    }

    async fn facts(&self, channel: &Channel, id: &str) -> Result<Option<Facts>, ManagerError> {
        let filter = ContainerFilter { id: id.to_owned(), ..ContainerFilter::default() };
        let mut listed = self.containers(channel, filter).await?;
        listed.retain(|container| container.id == id);
        let Some(container) = listed.pop() else {
            return Ok(self.sandboxes(channel, id).await?.pop().map(|s| facts::of_sandbox(&s)));
        };
        let sandbox = self.sandboxes(channel, &container.pod_sandbox_id).await?.pop();
        self.complete(channel, container, sandbox.as_ref()).await.map(Some)
    }

    /// CRI-O lists a container once it is created, which is after its hooks. Its bundle says the same before.
    async fn by_bundle(&self, channel: &Channel, bundle: &Path) -> Result<Option<Facts>, ManagerError> {
        let Some(bundle::Told { mut facts, sandbox }) = bundle::read(bundle) else { return Ok(None) };
        facts.image_labels = self.image_labels(channel, &facts.image_id).await?;
        if !sandbox.is_empty()
            && let Some(sandbox) = self.sandboxes(channel, &sandbox).await?.pop()
        {
            facts::tell(&sandbox, &mut facts);
        }
        Ok(Some(facts))
    }

    async fn list(&self) -> Result<Vec<Facts>, ManagerError> {
        let channel = self.connect().await?;
        let sandboxes = self.sandboxes(&channel, "").await?;
        let mut all = Vec::new();
        for container in self.containers(&channel, that_run()).await? {
            let sandbox = sandboxes.iter().find(|s| s.id == container.pod_sandbox_id);
            all.push(self.complete(&channel, container, sandbox).await?);
        }
        let ready = |s: &&PodSandbox| s.state() == PodSandboxState::SandboxReady;
        all.extend(sandboxes.iter().filter(ready).map(facts::of_sandbox));
        Ok(all)
    }

    /// Whether the runtime had events to tell. One that has none says so, or ends the stream at once.
    async fn follow(&self, channel: &Channel, news: &mpsc::Sender<News>) -> Result<bool, ManagerError> {
        let answer = match self.runtime(channel).get_container_events(GetEventsRequest {}).await {
            Err(status) if status.code() == Code::Unimplemented => return Ok(false),
            answer => answer.map_err(|e| self.peer.failed(&e))?,
        };
        let mut events = answer.into_inner();
        let mut told = false;
        while let Some(event) = events.message().await.map_err(|e| self.peer.failed(&e))? {
            told = true;
            if let Some(one) = self.news(channel, event).await?
                && news.send(one).await.is_err()
            {
                break;
            }
        }
        Ok(told)
    }

    async fn news(
        &self,
        channel: &Channel,
        event: ContainerEventResponse,
    ) -> Result<Option<News>, ManagerError> {
        match event.container_event_type() {
            ContainerEventType::ContainerStoppedEvent | ContainerEventType::ContainerDeletedEvent => {
                Ok(Some(News::Ended { id: event.container_id }))
            }
            ContainerEventType::ContainerStartedEvent => {
                let facts = self.facts(channel, &event.container_id);
                Ok(self.peer.within(QUESTION, facts).await?.map(News::Known))
            }
            ContainerEventType::ContainerCreatedEvent => Ok(None),
        }
    }

    async fn watch_it(&self, news: mpsc::Sender<News>) -> Result<(), ManagerError> {
        let channel = self.peer.within(QUESTION, self.connect()).await?;
        // A stream has no answer before its first event: that there is somebody is asked otherwise.
        let mut runtime = self.runtime(&channel);
        let asked = runtime.version(VersionRequest::default()).map(|a| a.map_err(|e| self.peer.failed(&e)));
        self.peer.within(QUESTION, asked).await?;
        if self.follow(&channel, &news).await? { Ok(()) } else { self.poll(&channel, &news).await }
    }
}

fn that_run() -> ContainerFilter {
    let running = ContainerStateValue { state: ContainerState::ContainerRunning.into() };
    ContainerFilter { state: Some(running), ..ContainerFilter::default() }
}

impl Manager for Cri {
    fn name(&self) -> &'static str {
        self.peer.manager
    }

    fn owns(&self, notice: &Notice) -> bool {
        bundle::is_pods(&notice.annotations)
    }

    fn about<'a>(
        &'a self,
        id: &'a str,
        bundle: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Facts>, ManagerError>> {
        let ask = async move {
            let channel = self.connect().await?;
            match self.facts(&channel, id).await? {
                Some(facts) => Ok(Some(Facts { bundle: bundle.display().to_string(), ..facts })),
                None => self.by_bundle(&channel, bundle).await.map(|f| f.filter(|f| f.id == id)),
            }
        };
        self.peer.within(QUESTION, ask).boxed()
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Facts>, ManagerError>> {
        self.peer.within(LISTING, self.list()).boxed()
    }

    fn watch(&self, news: mpsc::Sender<News>) -> BoxFuture<'_, Result<(), ManagerError>> {
        self.watch_it(news).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_leniently_but_not_wrongly() {
        assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
        assert!(toml::from_str::<Settings>("state = \"/s\"").is_err());
    }
}
