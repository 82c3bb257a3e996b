//! Who a container is, in the words of whatever manages it.

use super::{cut, first, storage};
use remora_wire::{Annotations, Notice};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longest field, in bytes. Names are anybody's to choose; they are kept as they are and escaped at output.
const MAX_FIELD: usize = 256;
/// `PATH_MAX`: nothing longer can be opened.
const MAX_PATH: usize = 4096;
/// What managers show of an id.
const SHORT_ID: usize = 12;

// In the order of trust: what the manager writes itself goes before what came with the pod.
const NAME: [&str; 3] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
const IMAGE_NAME: [&str; 4] = [
    "io.kubernetes.cri.image-name",
    "io.kubernetes.cri-o.ImageName",
    "io.kubernetes.cri-o.Image",
    "org.opencontainers.image.ref.name",
];
const IMAGE_ID: [&str; 1] = ["io.kubernetes.cri-o.ImageRef"];
const POD_NAME: [&str; 3] =
    ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name", "io.kubernetes.cri-o.KubeName"];
const POD_NAMESPACE: [&str; 3] =
    ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace", "io.kubernetes.cri-o.Namespace"];
const POD_UID: [&str; 2] = ["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    pub id: String,
    /// The id where no name is known, of a manager's long one the first 12 characters.
    pub name: String,
    /// Empty if unknown, as are the fields below.
    pub image_name: String,
    pub image_id: String,
    pub runtime: String,
    pub bundle: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Those of the pod's that the configuration names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What a manager knows better than annotations; empty where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learnt {
    pub name: String,
    pub image_name: String,
    pub image_id: String,
    pub pod: Option<Pod>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

impl Identity {
    /// What the notice alone says; opens no file.
    pub fn from_notice(notice: &Notice) -> Self {
        let field = |keys| bounded(first(&notice.annotations, keys));
        let mut identity = Self {
            id: bounded(&notice.id),
            name: field(&NAME),
            image_name: field(&IMAGE_NAME),
            image_id: field(&IMAGE_ID),
            runtime: bounded(&notice.runtime),
            bundle: cut(&notice.bundle, MAX_PATH).into(),
            pod: pod(&notice.annotations),
            labels: BTreeMap::new(),
        };
        if identity.name.is_empty() {
            identity.name = short(&identity.id).into();
        }
        identity
    }

    /// Adds what podman and CRI-O keep on disk and do not annotate: a name, an image. One bounded read, no
    /// lock and no call to the manager, which may be waiting for us.
    pub fn complete(&mut self) {
        let Some(record) = storage::find(&self.bundle, &self.id) else { return };
        if self.name == short(&self.id)
            && let Some(name) = record.names.first()
        {
            self.name = bounded(name);
        }
        let fill = |field: &mut String, value: &str| {
            if field.is_empty() {
                *field = bounded(value);
            }
        };
        fill(&mut self.image_name, &record.image_name());
        fill(&mut self.image_id, &record.image);
    }

    /// Takes what a manager says over what was known; whether that changed anything.
    pub fn learn(&mut self, learnt: &Learnt) -> bool {
        let before = self.clone();
        let take = |field: &mut String, value: &String| {
            if !value.is_empty() {
                *field = bounded(value);
            }
        };
        take(&mut self.name, &learnt.name);
        take(&mut self.image_name, &learnt.image_name);
        take(&mut self.image_id, &learnt.image_id);
        if let Some(Pod { name, namespace, uid }) = &learnt.pod {
            let pod = self.pod.get_or_insert_default();
            take(&mut pod.name, name);
            take(&mut pod.namespace, namespace);
            take(&mut pod.uid, uid);
        }
        self.labels = learnt.labels.iter().map(|(name, value)| (bounded(name), bounded(value))).collect();
        *self != before
    }

    pub fn bundle(&self) -> &Path {
        &self.bundle
    }
}

/// What these annotations lack to name the container and its pod, for a manager that says it elsewhere.
pub fn lacking_names(annotations: &Annotations, name: &str, pod: Option<&Pod>) -> Annotations {
    let of_pod = pod.map(|pod| {
        [(&POD_NAME[..], &pod.name), (&POD_NAMESPACE, &pod.namespace), (&POD_UID, &pod.uid)]
            .map(|(keys, value)| (keys, value.as_str()))
    });
    let known = [(&NAME[..], name)].into_iter().chain(of_pod.into_iter().flatten());
    let lacking = known.filter(|(keys, value)| !value.is_empty() && first(annotations, keys).is_empty());
    lacking.map(|(keys, value)| (keys[0].to_owned(), bounded(value))).collect()
}

fn bounded(text: &str) -> String {
    cut(text, MAX_FIELD).to_owned()
}

/// Managers' ids are 64 hexadecimal digits; what a person chose stays whole.
fn short(id: &str) -> &str {
    let made = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if made { cut(id, SHORT_ID) } else { id }
}

fn pod(annotations: &Annotations) -> Option<Pod> {
    let field = |keys| bounded(first(annotations, keys));
    let pod = Pod { name: field(&POD_NAME), namespace: field(&POD_NAMESPACE), uid: field(&POD_UID) };
    (!pod.name.is_empty()).then_some(pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_wire::{Namespaces, Stage};

    const ID: &str = "6888513aa32d60b154c6907d41ca58cbc3b7acf154b5348e6e9ce4e42e04047b";

    fn notice(annotations: &[(&str, &str)]) -> Notice {
        Notice {
            stage: Stage::CreateRuntime,
            id: ID.into(),
            pid: Some(4711),
            start_time: Some(1),
            bundle: "/run/bundle".into(),
            root: "/run/bundle/rootfs".into(),
            annotations: annotations.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            truncated: false,
            namespaces: Namespaces::default(),
            runtime: "runc".into(),
            at: 0,
        }
    }

    fn pod(name: &str, namespace: &str, uid: &str) -> Option<Pod> {
        Some(Pod { name: name.into(), namespace: namespace.into(), uid: uid.into() })
    }

    #[test]
    fn containerd_names_container_image_and_pod() {
        let identity = Identity::from_notice(&notice(&[
            ("io.kubernetes.cri.container-name", "nginx"),
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.image-name", "docker.io/library/nginx:1.25"),
            ("io.kubernetes.cri.sandbox-id", "0123"),
            ("io.kubernetes.cri.sandbox-name", "web-0"),
            ("io.kubernetes.cri.sandbox-namespace", "shop"),
            ("io.kubernetes.cri.sandbox-uid", "c0ffee"),
        ]));
        assert_eq!((identity.name.as_str(), identity.runtime.as_str()), ("nginx", "runc"));
        assert_eq!(identity.image_name, "docker.io/library/nginx:1.25");
        assert_eq!(identity.pod, pod("web-0", "shop", "c0ffee"));
    }

    #[test]
    fn crio_names_them_by_its_own_keys() {
        let identity = Identity::from_notice(&notice(&[
            ("io.container.manager", "cri-o"),
            ("io.kubernetes.container.name", "web"),
            ("io.kubernetes.cri-o.ContainerName", "k8s_web_web-0_shop_c0ffee_0"),
            ("io.kubernetes.cri-o.Image", "3333333333333333"),
            ("io.kubernetes.cri-o.ImageName", "quay.io/shop/web:7"),
            ("io.kubernetes.cri-o.ImageRef", "3333333333333333"),
            ("io.kubernetes.pod.name", "web-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", "c0ffee"),
        ]));
        assert_eq!((identity.name.as_str(), identity.image_name.as_str()), ("web", "quay.io/shop/web:7"));
        assert_eq!(
            (identity.image_id.as_str(), identity.pod),
            ("3333333333333333", pod("web-0", "shop", "c0ffee"))
        );
    }

    #[test]
    fn where_nobody_names_it_the_short_id_does() {
        let podman = [
            ("io.container.manager", "libpod"),
            ("io.kubernetes.cri-o.TTY", "false"),
            ("io.podman.annotations.autoremove", "TRUE"),
            ("org.opencontainers.image.stopSignal", "15"),
        ];
        for annotations in [&podman[..], &[]] {
            let identity = Identity::from_notice(&notice(annotations));
            assert_eq!((identity.name.as_str(), identity.id.as_str()), ("6888513aa32d", ID));
            assert_eq!((identity.image_name.as_str(), identity.pod), ("", None));
        }
    }

    #[test]
    fn a_podmans_name_and_image_come_from_its_storage() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join(ID).join("userdata");
        std::fs::create_dir_all(&bundle).unwrap();
        let record = format!(
            r#"[{{"id":"other"}},{{"id":"{ID}","names":["my-web"],"image":"730d","flags":{{"Volatile":true}},
            "metadata":"{{\"image-name\":\"localhost/web:latest\",\"name\":\"my-web\"}}"}}]"#
        );
        std::fs::write(dir.path().join("containers.json"), record).unwrap();
        let mut identity =
            Identity::from_notice(&Notice { bundle: bundle.to_string_lossy().into(), ..notice(&[]) });
        identity.complete();
        assert_eq!((identity.name.as_str(), identity.image_id.as_str()), ("my-web", "730d"));
        assert_eq!(identity.image_name, "localhost/web:latest");
    }

    #[test]
    fn a_managers_word_goes_before_what_was_known() {
        let mut identity = Identity::from_notice(&notice(&[("io.kubernetes.pod.name", "web-0")]));
        let labels = BTreeMap::from([("app".to_owned(), "ä".repeat(300))]);
        let learnt = Learnt { name: "web".into(), labels, ..Learnt::default() };
        assert!(identity.learn(&learnt) && !identity.learn(&learnt));
        assert_eq!((identity.name.as_str(), identity.pod.as_ref().unwrap().name.as_str()), ("web", "web-0"));
        assert!(identity.labels["app"].len() <= 256);
        assert!(identity.learn(&Learnt { pod: pod("web-1", "shop", ""), ..Learnt::default() }));
        assert_eq!((identity.pod, identity.labels.len()), (pod("web-1", "shop", ""), 0));
    }

    #[test]
    fn hostile_names_are_kept_as_they_are_but_not_their_length() {
        let hostile = "\u{1b}[31m\n\"".to_owned() + &"ä".repeat(300);
        let identity = Identity::from_notice(&notice(&[("io.kubernetes.container.name", &hostile)]));
        assert!(identity.name.len() <= 256 && hostile.starts_with(&identity.name));
        assert!(identity.name.starts_with("\u{1b}[31m\n\"ä"));
    }

    #[test]
    fn what_is_kept_on_disk_reads_back() {
        let identity = Identity::from_notice(&notice(&[("io.kubernetes.pod.name", "p")]));
        let text = serde_json::to_string(&identity).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), identity);
    }
}
