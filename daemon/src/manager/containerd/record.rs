//! What a record of containerd's says: a container's, and what the CRI plugin keeps with it.

use containerd_client::services::v1::Container;
use serde::{Deserialize, de::DeserializeOwned};

use crate::manager::{Facts, Labels, grpc::sorted};
use crate::oci::Pod;

const CONTAINER: &str = "io.cri-containerd.container.metadata";
const SANDBOX: &str = "io.cri-containerd.sandbox.metadata";
/// Labels that the CRI plugin adds itself.
const PLUGINS: &str = "io.cri-containerd.";
const NERDCTL_NAME: &str = "nerdctl/name";
/// What a pod's user called the image, where its record has only the digest.
const DIGEST: &str = "sha256:";

/// A container by its record alone.
#[derive(Debug, PartialEq)]
pub struct Record {
    pub facts: Facts,
    /// Whose facts are to be added.
    pub sandbox: Option<String>,
    /// Its labels are mixed with the image's.
    pub merged: bool,
}

/// What a pod's sandbox says of each of its containers.
#[derive(Debug, PartialEq)]
pub struct Sandbox {
    pod: Pod,
    labels: Labels,
    annotations: Labels,
}

/// As the CRI plugin writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Extension<T> {
    metadata: T,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Metadata {
    #[serde(rename = "SandboxID")]
    sandbox: String,
    config: Config,
    image_ref: String,
}

/// Of container and sandbox; the former has no namespace and uid.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    metadata: Name,
    image: Option<Image>,
    labels: Option<Labels>,
    annotations: Option<Labels>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Name {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Image {
    image: String,
    user_specified_image: String,
}

fn extension<T: DeserializeOwned>(container: &Container, key: &str) -> Option<T> {
    let any = container.extensions.get(key)?;
    Some(serde_json::from_slice::<Extension<T>>(&any.value).ok()?.metadata)
}

impl Record {
    pub fn of(container: Container) -> Self {
        if let Some(sandbox) = Sandbox::of(&container) {
            return Self { facts: sandbox.facts(container.id), sandbox: None, merged: false };
        }
        match extension::<Metadata>(&container, CONTAINER) {
            Some(metadata) => Self::of_pod(container, metadata),
            None => Self::plain(container),
        }
    }

    fn plain(container: Container) -> Self {
        let labels = sorted(container.labels);
        let name = labels.get(NERDCTL_NAME).unwrap_or(&container.id).clone();
        let facts = Facts { name, labels, image_name: container.image, id: container.id, ..Facts::default() };
        Self { facts, sandbox: None, merged: true }
    }

    /// The plugin keeps the labels that the pod's user chose beside those it mixed with the image's.
    fn of_pod(container: Container, metadata: Metadata) -> Self {
        let Metadata { sandbox, config, image_ref } = metadata;
        let labels = config.labels.unwrap_or_default();
        let mut image_labels = sorted(container.labels);
        image_labels.retain(|key, _| !labels.contains_key(key) && !key.starts_with(PLUGINS));
        let facts = Facts {
            id: container.id,
            name: config.metadata.name,
            pod: labelled_pod(&labels),
            labels,
            image_labels,
            annotations: config.annotations.unwrap_or_default(),
            image_name: image_name(container.image, config.image.unwrap_or_default()),
            image_id: image_ref,
            ..Facts::default()
        };
        Self { facts, sandbox: (!sandbox.is_empty()).then_some(sandbox), merged: false }
    }
}

/// A kubelet names the image by digest, and says what its user wrote.
fn image_name(known: String, asked: Image) -> String {
    let all = [known, asked.user_specified_image, asked.image];
    let named = all.iter().find(|name| !name.is_empty() && !name.starts_with(DIGEST));
    named.or(all.iter().find(|name| !name.is_empty())).cloned().unwrap_or_default()
}

/// What a kubelet labels each of its containers with.
pub fn labelled_pod(labels: &Labels) -> Option<Pod> {
    let field = |key: &str| labels.get(&format!("io.kubernetes.pod.{key}")).cloned().unwrap_or_default();
    let pod = Pod { name: field("name"), namespace: field("namespace"), uid: field("uid") };
    (!pod.name.is_empty()).then_some(pod)
}

impl Sandbox {
    pub fn of(container: &Container) -> Option<Self> {
        let Metadata { config, .. } = extension(container, SANDBOX)?;
        let Name { name, namespace, uid } = config.metadata;
        Some(Self {
            pod: Pod { name, namespace, uid },
            labels: config.labels.unwrap_or_default(),
            annotations: config.annotations.unwrap_or_default(),
        })
    }

    /// Of the pause container.
    fn facts(self, id: String) -> Facts {
        let mut facts = Facts { id, name: self.pod.name.clone(), sandbox: true, ..Facts::default() };
        self.tell(&mut facts);
        facts
    }

    pub fn tell(&self, facts: &mut Facts) {
        facts.pod = Some(self.pod.clone());
        facts.pod_labels = self.labels.clone();
        facts.pod_annotations = self.annotations.clone();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn with(extension: &str, json: &str, container: Container) -> Container {
        let any = prost_types::Any { type_url: String::new(), value: json.into() };
        Container { extensions: [(extension.to_owned(), any)].into(), ..container }
    }

    const POD: &str = r#"{"Version":"v1","Metadata":{"ID":"5a","Name":"web-0_shop_c0ffee_0","Config":{
        "metadata":{"name":"web-0","uid":"c0ffee","namespace":"shop"},"labels":{"app":"web"},
        "annotations":{"io.remora.trace/nginx":"exec"},"linux":{}},"NetNSPath":""}}"#;
    const WEB: &str = r#"{"Version":"v1","Metadata":{"ID":"c1","SandboxID":"5a","ImageRef":"sha256:1f","Config":{
        "metadata":{"name":"nginx"},"image":{"image":"sha256:1f"},"labels":{"tier":"own"},"annotations":null}}}"#;

    #[test]
    fn a_pods_container_tells_its_own_labels_from_the_images() {
        let mixed = labels(&[("tier", "own"), ("vendor", "x"), ("io.cri-containerd.kind", "container")]);
        let image = "docker.io/library/nginx:1.25".to_owned();
        let container = Container { id: "c1".into(), labels: mixed, image, ..Container::default() };
        let mut record = Record::of(with(CONTAINER, WEB, container));
        assert_eq!((record.sandbox.as_deref(), record.merged), (Some("5a"), false));
        let sandbox = with(SANDBOX, POD, Container { id: "5a".into(), ..Container::default() });
        Sandbox::of(&sandbox).unwrap().tell(&mut record.facts);
        let facts = record.facts;
        assert_eq!((facts.name.as_str(), facts.image_id.as_str()), ("nginx", "sha256:1f"));
        assert_eq!(facts.image_name, "docker.io/library/nginx:1.25");
        assert_eq!(facts.labels, sorted(labels(&[("tier", "own")])));
        assert_eq!(facts.image_labels, sorted(labels(&[("vendor", "x")])));
        let pod = Pod { name: "web-0".into(), namespace: "shop".into(), uid: "c0ffee".into() };
        assert_eq!((facts.pod, facts.sandbox), (Some(pod), false));
        assert_eq!(facts.pod_labels["app"], "web");
        assert_eq!(facts.pod_annotations["io.remora.trace/nginx"], "exec");
    }

    #[test]
    fn a_sandbox_is_one_whatever_it_is_called() {
        let record = Record::of(with(SANDBOX, POD, Container { id: "5a".into(), ..Container::default() }));
        assert!(record.facts.sandbox && record.sandbox.is_none() && !record.merged);
        assert_eq!(record.facts.pod_labels["app"], "web");
    }

    #[test]
    fn a_plain_container_is_called_as_its_tool_calls_it() {
        let named = labels(&[("nerdctl/name", "web")]);
        let record = Record::of(Container { id: "c1".into(), labels: named, ..Container::default() });
        assert_eq!((record.facts.name.as_str(), record.merged), ("web", true));
        let record = Record::of(Container { id: "c1".into(), ..Container::default() });
        assert_eq!(record.facts.name, "c1");
    }

    #[test]
    fn an_image_by_digest_is_called_as_its_user_called_it() {
        let asked = |user: &str| Image { image: "sha256:1".into(), user_specified_image: user.into() };
        assert_eq!(image_name("sha256:1".into(), asked("nginx:1")), "nginx:1");
        assert_eq!(image_name("sha256:1".into(), asked("")), "sha256:1");
        assert_eq!(image_name("nginx:2".into(), asked("nginx:1")), "nginx:2");
    }

    #[test]
    fn an_extension_that_is_none_makes_a_plain_container() {
        for json in ["", "{}", "[]", r#"{"Metadata":7}"#] {
            let container = Container { id: "c1".into(), ..Container::default() };
            assert!(Record::of(with(CONTAINER, json, container)).merged, "{json}");
        }
    }
}
