//! What the bundle of a pod's container says by annotations of its runtime's.

use std::path::Path;

use remora_wire::{Annotations, Notice};
use serde::de::DeserializeOwned;

use crate::manager::{Facts, Labels};
use crate::oci::{self, Identity};

const MANAGER: &str = "io.container.manager";
const CRIO: &str = "cri-o";
const OF_CRIO: &str = "io.kubernetes.cri-o.";
/// Each runtime's word for what a container is to its pod.
const OF_CONTAINERD: &str = "io.kubernetes.cri.container-type";

/// What CRI-O has written, and whose container it is.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub facts: Facts,
    pub sandbox: String,
}

/// Whether a kubelet's runtime made it. Anybody may say so: then that runtime is asked, and knows no such one.
pub fn is_pods(annotations: &Annotations) -> bool {
    is_crios(annotations) || annotations.contains_key(OF_CONTAINERD)
}

fn is_crios(annotations: &Annotations) -> bool {
    annotations.get(MANAGER).is_some_and(|manager| manager == CRIO)
}

pub fn read(bundle: &Path) -> Option<Told> {
    let (annotations, _) = oci::bundle_annotations(bundle).ok()?;
    is_crios(&annotations).then(|| told(annotations, bundle))
}

fn told(annotations: Annotations, bundle: &Path) -> Told {
    let own = |key: &str| annotations.get(&format!("{OF_CRIO}{key}")).cloned().unwrap_or_default();
    let id = own("ContainerID");
    let (labels, noted): (Labels, Labels) = (json(&own("Labels")), json(&own("Annotations")));
    let sandbox = own("ContainerType") == "sandbox";
    let of = own("SandboxID");
    let Identity { name, image_name, image_id, pod, .. } = Identity::from_notice(&as_notice(annotations));
    let mut facts = Facts { id, name, image_name, image_id, pod, sandbox, ..Facts::default() };
    facts.bundle = bundle.display().to_string();
    // Of a sandbox they are the pod's.
    if sandbox {
        (facts.pod_labels, facts.pod_annotations) = (labels, noted);
    } else {
        (facts.labels, facts.annotations) = (labels, noted);
    }
    Told { facts, sandbox: of }
}

fn json<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

/// The identity is read as from a hook's notice.
fn as_notice(annotations: Annotations) -> Notice {
    Notice {
        stage: remora_wire::Stage::CreateRuntime,
        id: String::new(),
        pid: None,
        start_time: None,
        bundle: String::new(),
        root: String::new(),
        annotations,
        truncated: false,
        namespaces: remora_wire::Namespaces::default(),
        runtime: String::new(),
        at: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Pod;

    fn annotations(pairs: &[(&str, &str)]) -> Annotations {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    const WEB: [(&str, &str); 12] = [
        ("io.container.manager", "cri-o"),
        ("io.kubernetes.container.name", "web"),
        ("io.kubernetes.cri-o.Annotations", r#"{"io.kubernetes.container.hash":"1a"}"#),
        ("io.kubernetes.cri-o.ContainerID", "c1"),
        ("io.kubernetes.cri-o.ContainerType", "container"),
        ("io.kubernetes.cri-o.ImageName", "quay.io/shop/web:7"),
        ("io.kubernetes.cri-o.ImageRef", "3333"),
        ("io.kubernetes.cri-o.Labels", r#"{"io.remora.trace":"exec"}"#),
        ("io.kubernetes.cri-o.SandboxID", "5a"),
        ("io.kubernetes.pod.name", "web-0"),
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.uid", "c0ffee"),
    ];

    #[test]
    fn a_crios_bundle_says_what_the_lists_do_not_yet() {
        let Told { facts, sandbox } = told(annotations(&WEB), Path::new("/b"));
        assert_eq!((facts.id.as_str(), facts.name.as_str(), sandbox.as_str()), ("c1", "web", "5a"));
        assert_eq!((facts.image_name.as_str(), facts.image_id.as_str()), ("quay.io/shop/web:7", "3333"));
        assert_eq!(facts.labels, annotations(&[("io.remora.trace", "exec")]));
        assert_eq!(facts.annotations["io.kubernetes.container.hash"], "1a");
        let pod = Pod { name: "web-0".into(), namespace: "shop".into(), uid: "c0ffee".into() };
        assert_eq!((facts.pod, facts.sandbox, facts.bundle.as_str()), (Some(pod), false, "/b"));
    }

    #[test]
    fn a_sandboxs_labels_are_its_pods() {
        let mut all = annotations(&WEB);
        all.insert("io.kubernetes.cri-o.ContainerType".into(), "sandbox".into());
        let facts = told(all, Path::new("/b")).facts;
        assert!(facts.sandbox && facts.labels.is_empty());
        assert_eq!(facts.pod_labels["io.remora.trace"], "exec");
    }

    #[test]
    fn others_bundles_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()), None);
        let config =
            r#"{"annotations":{"io.container.manager":"libpod","io.kubernetes.cri-o.ContainerID":"c1"}}"#;
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        assert_eq!(read(dir.path()), None);
        assert!(!is_pods(&annotations(&[("io.container.manager", "libpod")])));
        assert!(is_pods(&annotations(&[("io.kubernetes.cri.container-type", "sandbox")])));
        assert!(is_pods(&annotations(&WEB)));
    }

    #[test]
    fn what_is_no_json_is_left_out() {
        let odd =
            annotations(&[("io.kubernetes.cri-o.Labels", "[1]"), ("io.kubernetes.cri-o.Annotations", "{")]);
        let facts = told(odd, Path::new("/b")).facts;
        assert_eq!((facts.labels, facts.annotations), (Labels::new(), Labels::new()));
    }
}
