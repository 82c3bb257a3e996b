//! CRI as a kubelet speaks it: pods on the host's network, with the labels a kubelet gives.

use std::{collections::HashMap, io, path::Path};

use hyper_util::rt::TokioIo;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerStatusRequest, CreateContainerRequest, ImageSpec,
    LinuxContainerConfig, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, PodSandboxMetadata, RemoveContainerRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest, VersionRequest,
    runtime_service_client::RuntimeServiceClient,
};
use serde_json::Value;
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::transport::{Channel, Endpoint};

use crate::{podman::IMAGE, wait_for};

#[derive(Debug)]
pub struct Cri {
    runtime: Runtime,
    client: RuntimeServiceClient<Channel>,
    cgroup: String,
}

/// A pod that runs.
#[derive(Debug)]
pub struct Pod {
    pub id: String,
    config: PodSandboxConfig,
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Labels or annotations.
pub fn pairs(pairs: Pairs) -> HashMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl Cri {
    pub fn connect(socket: &Path, cgroup: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = runtime.block_on(endpoint.connect_with_connector(connector)).expect("no CRI");
        Self { runtime, client: RuntimeServiceClient::new(channel), cgroup: cgroup.to_owned() }
    }

    /// Whether the runtime serves: right after its start it answers that it does not yet.
    pub fn serves(&mut self) -> bool {
        self.runtime.block_on(self.client.version(VersionRequest::default())).is_ok()
    }

    /// A pod of namespace `shop`, of uid `uid-NAME`.
    pub fn pod(&mut self, name: &str, labels: Pairs, annotations: Pairs) -> Pod {
        let uid = format!("uid-{name}");
        let mut all = of_kubelet(name, &uid);
        all.extend(pairs(labels));
        let security =
            LinuxSandboxSecurityContext { namespace_options: Some(namespaces()), ..Default::default() };
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid,
                namespace: NAMESPACE.to_owned(),
                attempt: 0,
            }),
            labels: all,
            annotations: pairs(annotations),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup.clone(),
                security_context: Some(security),
                ..Default::default()
            }),
            ..PodSandboxConfig::default()
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() };
        let answer = self.runtime.block_on(self.client.run_pod_sandbox(request)).expect("no pod");
        Pod { id: answer.into_inner().pod_sandbox_id, config }
    }

    /// A container that is created and not started; its id.
    pub fn create(&mut self, pod: &Pod, container: &Container) -> String {
        let metadata = pod.config.metadata.clone().expect("a name");
        let mut labels = of_kubelet(&metadata.name, &metadata.uid);
        labels.insert("io.kubernetes.container.name".into(), container.name.to_owned());
        labels.extend(pairs(container.labels));
        let mut linux = LinuxContainerConfig::default();
        linux.security_context.get_or_insert_default().namespace_options = Some(namespaces());
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: format!("{}:latest", container.image), ..Default::default() }),
            command: container.command.iter().map(|c| (*c).to_owned()).collect(),
            labels,
            annotations: pairs(container.annotations),
            linux: Some(linux),
            ..ContainerConfig::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let answer = self.runtime.block_on(self.client.create_container(request));
        answer.expect("no container").into_inner().container_id
    }

    pub fn start(&mut self, id: &str) {
        let request = StartContainerRequest { container_id: id.to_owned() };
        self.runtime.block_on(self.client.start_container(request)).expect("not started");
    }

    pub fn run(&mut self, pod: &Pod, container: &Container) -> String {
        let id = self.create(pod, container);
        self.start(&id);
        id
    }

    /// With no time to end by itself.
    pub fn stop(&mut self, id: &str) {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout: 0 };
        self.runtime.block_on(self.client.stop_container(request)).expect("not stopped");
    }

    pub fn remove(&mut self, id: &str) {
        let request = RemoveContainerRequest { container_id: id.to_owned() };
        self.runtime.block_on(self.client.remove_container(request)).expect("not removed");
    }

    /// Again and again, as a kubelet does: containerd fails where a container is just ending by itself.
    pub fn stop_pod(&mut self, id: &str) {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        wait_for("the pod to be stopped", || {
            self.runtime.block_on(self.client.stop_pod_sandbox(request.clone())).ok()
        });
    }

    pub fn remove_pod(&mut self, id: &str) {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        wait_for("the pod to be removed", || {
            self.runtime.block_on(self.client.remove_pod_sandbox(request.clone())).ok()
        });
    }

    /// What the runtime says verbosely of a container.
    pub fn info(&mut self, id: &str) -> Value {
        let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
        let answer = self.runtime.block_on(self.client.container_status(request)).expect("no status");
        serde_json::from_str(&answer.into_inner().info["info"]).expect("not JSON")
    }

    pub fn pid(&mut self, id: &str) -> u32 {
        self.info(id)["pid"].as_u64().expect("a pid") as u32
    }
}

pub const NAMESPACE: &str = "shop";

/// A container to be made.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub command: &'a [&'a str],
    pub labels: Pairs<'a>,
    pub annotations: Pairs<'a>,
}

impl<'a> Container<'a> {
    pub fn new(name: &'a str, command: &'a [&'a str]) -> Self {
        Self { name, image: IMAGE, command, labels: &[], annotations: &[] }
    }
}

/// The host's network, and processes of one's own.
fn namespaces() -> NamespaceOption {
    let (network, pid) = (NamespaceMode::Node.into(), NamespaceMode::Container.into());
    NamespaceOption { network, pid, ..NamespaceOption::default() }
}

/// What a kubelet labels pods and their containers with.
fn of_kubelet(pod: &str, uid: &str) -> HashMap<String, String> {
    pairs(&[
        ("io.kubernetes.pod.name", pod),
        ("io.kubernetes.pod.namespace", NAMESPACE),
        ("io.kubernetes.pod.uid", uid),
    ])
}
