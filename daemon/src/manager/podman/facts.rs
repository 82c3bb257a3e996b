//! What podman's documents say of a container.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::database::Documents;
use crate::manager::{Facts, Labels};
use crate::oci::Pod;

/// An image's configuration is some kilobytes.
const MAX_IMAGE: u64 = 4 << 20;
/// Documents that belong to an image: its configuration, manifests, signatures.
const MAX_IMAGE_FILES: usize = 32;
/// As libpod counts the states of a container.
const RUNNING: [u32; 2] = [3, 5];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    id: String,
    name: String,
    labels: Option<Labels>,
    #[serde(rename = "rootfsImageID")]
    image_id: String,
    #[serde(rename = "rootfsImageName")]
    image_name: String,
    #[serde(rename = "staticDir")]
    folder: PathBuf,
    /// Holds a pod's namespaces.
    pause: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    state: u32,
    pid: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodConfig {
    id: String,
    name: String,
    labels: Option<Labels>,
}

/// What the documents say; none if they are not podman's.
pub fn of(storage: &Path, documents: &Documents) -> Option<Facts> {
    let config = serde_json::from_slice(&documents.config).ok().filter(|c: &Config| !c.id.is_empty())?;
    let state: State = parse(&documents.state);
    let pod = documents.pod.as_deref().map(parse::<PodConfig>).unwrap_or_default();
    let merged = config.labels.unwrap_or_default();
    let (labels, image_labels) = own(merged, storage, &config.image_id);
    Some(Facts {
        pid: RUNNING.contains(&state.state).then(|| init(state.pid, &config.id)).flatten(),
        id: config.id,
        name: config.name,
        labels,
        image_labels,
        image_name: config.image_name,
        image_id: config.image_id,
        pod: (!pod.name.is_empty()).then(|| Pod { name: pod.name, namespace: String::new(), uid: pod.id }),
        pod_labels: pod.labels.unwrap_or_default(),
        sandbox: config.pause,
        bundle: config.folder.display().to_string(),
        ..Facts::default()
    })
}

fn parse<T: DeserializeOwned + Default>(json: &[u8]) -> T {
    serde_json::from_slice(json).unwrap_or_default()
}

/// podman merges an image's labels into the container's: what is as the image has it counts as the image's. Where
/// the image cannot be read everything does, so that none speaks for itself.
fn own(merged: Labels, storage: &Path, image: &str) -> (Labels, Labels) {
    if merged.is_empty() || image.is_empty() {
        return (merged, Labels::new());
    }
    let Some(of_image) = image_labels(storage, image) else { return (Labels::new(), merged) };
    let labels = merged.into_iter().filter(|(key, value)| of_image.get(key) != Some(value)).collect();
    (labels, of_image)
}

/// Of the configuration among an image's documents, each of which has its digest for a name.
fn image_labels(storage: &Path, image: &str) -> Option<Labels> {
    #[derive(Deserialize)]
    struct Image {
        config: Option<Settings>,
        /// Manifests have none.
        #[allow(dead_code, reason = "its being there tells")]
        rootfs: serde::de::IgnoredAny,
    }
    #[derive(Deserialize)]
    struct Settings {
        #[serde(rename = "Labels")]
        labels: Option<Labels>,
    }
    let hex = image.bytes().all(|b| b.is_ascii_hexdigit());
    let dir = fs::read_dir(storage.join("overlay-images").join(image)).ok().filter(|_| hex)?;
    let found = dir.flatten().take(MAX_IMAGE_FILES).find_map(|entry| {
        let mut text = Vec::new();
        entry.file_type().ok().filter(fs::FileType::is_file)?;
        File::open(entry.path()).ok()?.take(MAX_IMAGE).read_to_end(&mut text).ok()?;
        serde_json::from_slice::<Image>(&text).ok()
    })?;
    Some(found.config.and_then(|c| c.labels).unwrap_or_default())
}

/// The pid that podman last knew, if it is still the container's: podman names a container's cgroup after it.
fn init(pid: i64, id: &str) -> Option<u32> {
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 1)?;
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let named = |line: &str| line.split(['/', '-', '.']).any(|part| part == id);
    (!id.is_empty() && cgroups.lines().any(named)).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "9ce17aa3805b480f15434c42744f0698aacc4f3ee38ab05a0e32e79d203a421e";

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn documents(config: &str, state: &str) -> Documents {
        let pod = r#"{"id":"p1","name":"web","labels":{"app":"shop"}}"#.as_bytes().to_vec();
        Documents { config: config.into(), state: state.into(), pod: Some(pod) }
    }

    #[test]
    fn labels_of_the_image_are_told_from_the_containers_own() {
        let dir = tempfile::tempdir().unwrap();
        let merged = labels(&[("both", "own"), ("same", "x"), ("image", "x"), ("own", "x")]);
        // Nothing known of the image: nothing is the container's own.
        assert_eq!(own(merged.clone(), dir.path(), IMAGE), (labels(&[]), merged.clone()));
        let folder = dir.path().join("overlay-images").join(IMAGE);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest"), r#"{"schemaVersion":2,"config":{"digest":"sha256:1"}}"#).unwrap();
        fs::write(
            folder.join("=c2hh"),
            r#"{"config":{"Labels":{"both":"img","same":"x","image":"x"}},"rootfs":{}}"#,
        )
        .unwrap();
        let (mine, images) = own(merged.clone(), dir.path(), IMAGE);
        assert_eq!(mine, labels(&[("both", "own"), ("own", "x")]));
        assert_eq!(images, labels(&[("both", "img"), ("same", "x"), ("image", "x")]));
        assert_eq!(own(merged.clone(), dir.path(), "../overlay-images").0, labels(&[]));
        assert_eq!(own(merged.clone(), dir.path(), "").0, merged);
    }

    #[test]
    fn documents_tell_who_it_is() {
        let config = r#"{"id":"c1","name":"db","labels":null,"rootfsImageID":"","rootfsImageName":"docker.io/redis:7",
            "staticDir":"/s/overlay-containers/c1/userdata","pause":true,"spec":{"x":[1]}}"#;
        let facts = of(Path::new("/none"), &documents(config, r#"{"state":3,"pid":4194304}"#)).unwrap();
        assert_eq!((facts.name.as_str(), facts.image_name.as_str()), ("db", "docker.io/redis:7"));
        assert_eq!(facts.pod, Some(Pod { name: "web".into(), namespace: String::new(), uid: "p1".into() }));
        assert_eq!(facts.pod_labels, labels(&[("app", "shop")]));
        assert_eq!((facts.sandbox, facts.pid), (true, None));
        assert_eq!(facts.bundle, "/s/overlay-containers/c1/userdata");
        assert_eq!(of(Path::new("/none"), &documents("[]", "")), None);
    }

    #[test]
    fn a_pid_that_is_somebody_elses_by_now_is_not_taken() {
        let own = i64::from(std::process::id());
        assert_eq!(init(own, "0123456789abcdef"), None);
        assert_eq!((init(1, "x"), init(-1, "x"), init(0, ""), init(own, "")), (None, None, None, None));
    }
}
