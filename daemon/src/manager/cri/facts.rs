//! Answers over CRI, in our words.

use std::collections::HashMap;

use k8s_cri::v1::{Container, ContainerState, ContainerStatusResponse, PodSandbox};
use serde::{Deserialize, de::DeserializeOwned};

use crate::manager::{Facts, Labels, grpc::sorted};
use crate::oci::Pod;

/// Under which runtimes keep what they say verbosely, as JSON.
const INFO: &str = "info";
/// How an image that is named by its digest begins.
const DIGEST: &str = "sha256:";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Verbose {
    pid: u32,
}

/// containerd and CRI-O put an image's configuration in the same place.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct VerboseImage {
    image_spec: Specification,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Specification {
    config: Configuration,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Configuration {
    labels: Option<Labels>,
}

fn verbose<T: DeserializeOwned + Default>(info: &HashMap<String, String>) -> T {
    info.get(INFO).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

pub fn image_labels(info: &HashMap<String, String>) -> Labels {
    verbose::<VerboseImage>(info).image_spec.config.labels.unwrap_or_default()
}

/// A container as listed, and as its status says beside.
pub fn of(container: Container, status: &ContainerStatusResponse) -> Facts {
    let running = container.state() == ContainerState::ContainerRunning;
    let pid = verbose::<Verbose>(&status.info).pid;
    let named = status.status.as_ref().and_then(|s| s.image.as_ref()).map(|i| i.image.clone());
    let listed = container.image.unwrap_or_default();
    let names = [named.unwrap_or_default(), listed.user_specified_image, listed.image];
    let called = names.iter().find(|name| !name.is_empty() && !name.starts_with(DIGEST));
    Facts {
        id: container.id,
        name: container.metadata.unwrap_or_default().name,
        labels: sorted(container.labels),
        annotations: sorted(container.annotations),
        image_name: called.or(names.iter().find(|name| !name.is_empty())).cloned().unwrap_or_default(),
        image_id: container.image_ref,
        pid: (running && pid > 1).then_some(pid),
        ..Facts::default()
    }
}

/// What a sandbox says of each of its containers.
pub fn tell(sandbox: &PodSandbox, facts: &mut Facts) {
    let named = sandbox.metadata.clone().unwrap_or_default();
    facts.pod = Some(Pod { name: named.name, namespace: named.namespace, uid: named.uid });
    facts.pod_labels = sorted(sandbox.labels.clone());
    facts.pod_annotations = sorted(sandbox.annotations.clone());
}

/// Of the pause container.
pub fn of_sandbox(sandbox: &PodSandbox) -> Facts {
    let name = sandbox.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
    let mut facts = Facts { id: sandbox.id.clone(), name, sandbox: true, ..Facts::default() };
    tell(sandbox, &mut facts);
    facts
}

#[cfg(test)]
mod tests {
    use k8s_cri::v1::{ContainerMetadata, ContainerStatus, ImageSpec, PodSandboxMetadata};

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn image(name: &str) -> Option<ImageSpec> {
        Some(ImageSpec { image: name.into(), ..ImageSpec::default() })
    }

    fn web(state: ContainerState) -> Container {
        Container {
            id: "c1".into(),
            metadata: Some(ContainerMetadata { name: "nginx".into(), attempt: 2 }),
            image: image("sha256:1f"),
            image_ref: "sha256:1f".into(),
            state: state.into(),
            labels: pairs(&[("tier", "web")]),
            annotations: pairs(&[("io.remora.trace", "exec")]),
            ..Container::default()
        }
    }

    #[test]
    fn a_container_is_put_together_from_list_status_and_sandbox() {
        let status =
            ContainerStatus { image: image("docker.io/library/nginx:1"), ..ContainerStatus::default() };
        let info = pairs(&[("info", r#"{"sandboxID":"5a","pid":4711}"#)]);
        let answer = ContainerStatusResponse { status: Some(status), info };
        let mut facts = of(web(ContainerState::ContainerRunning), &answer);
        let metadata = PodSandboxMetadata {
            name: "web-0".into(),
            uid: "c0ffee".into(),
            namespace: "shop".into(),
            attempt: 0,
        };
        let sandbox = PodSandbox {
            metadata: Some(metadata),
            labels: pairs(&[("app", "web")]),
            ..PodSandbox::default()
        };
        tell(&sandbox, &mut facts);
        assert_eq!((facts.name.as_str(), facts.image_name.as_str()), ("nginx", "docker.io/library/nginx:1"));
        assert_eq!((facts.image_id.as_str(), facts.pid), ("sha256:1f", Some(4711)));
        let pod = Pod { name: "web-0".into(), namespace: "shop".into(), uid: "c0ffee".into() };
        assert_eq!((facts.pod, facts.pod_labels), (Some(pod), sorted(pairs(&[("app", "web")]))));
        assert!(!facts.sandbox && of_sandbox(&sandbox).sandbox);
        assert_eq!(of(web(ContainerState::ContainerExited), &answer).pid, None);
    }

    #[test]
    fn an_answer_without_its_parts_says_less() {
        let answer = ContainerStatusResponse { status: None, info: pairs(&[("info", "{")]) };
        let facts = of(web(ContainerState::ContainerRunning), &answer);
        assert_eq!((facts.image_name.as_str(), facts.pid), ("sha256:1f", None));
    }

    #[test]
    fn an_images_labels_are_in_its_configuration() {
        let text = r#"{"chainID":"x","imageSpec":{"config":{"Labels":{"vendor":"x"}}}}"#;
        assert_eq!(image_labels(&pairs(&[("info", text)])), sorted(pairs(&[("vendor", "x")])));
        for none in [r#"{"imageSpec":{"config":{"Labels":null}}}"#, r#"{"imageSpec":7}"#, "{}"] {
            assert_eq!(image_labels(&pairs(&[("info", none)])), Labels::new(), "{none}");
        }
    }
}
