//! An image's labels and id, read from its configuration: containerd mixes the labels into the container's.

use containerd_client::services::v1::{
    GetImageRequest, ReadContentRequest, content_client::ContentClient, images_client::ImagesClient,
};
use serde::{Deserialize, de::DeserializeOwned};
use tonic::transport::Channel;

use super::Containerd;
use crate::manager::{Facts, Labels, ManagerError};

/// Longest manifest or configuration read, in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

#[derive(Debug, PartialEq)]
pub struct Image {
    /// The configuration's digest, as managers show it.
    id: String,
    labels: Labels,
}

/// An index names manifests, a manifest its configuration.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Document {
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    platform: Platform,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Platform {
    architecture: String,
    os: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Configuration {
    config: Option<Labelled>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Labelled {
    labels: Option<Labels>,
}

impl Containerd {
    /// None where containerd has no such image any more, or not all of it.
    pub(super) async fn image(
        &self,
        channel: &Channel,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Image>, ManagerError> {
        let request = self.request(namespace, GetImageRequest { name: name.to_owned() })?;
        let answer = self.peer.found(ImagesClient::new(channel.clone()).get(request).await)?;
        let target = answer.and_then(|a| a.into_inner().image?.target);
        let Some(target) = target else { return Ok(None) };
        let mut digest = target.digest;
        // An index, perhaps, and a manifest; an index of indexes is nobody's.
        for _ in 0..2 {
            let document: Option<Document> = self.document(channel, namespace, &digest).await?;
            let Some(document) = document else { return Ok(None) };
            if let Some(Descriptor { digest: id, .. }) = document.config {
                let found: Option<Configuration> = self.document(channel, namespace, &id).await?;
                let labels = |c: Configuration| c.config.unwrap_or_default().labels.unwrap_or_default();
                return Ok(found.map(|c| Image { id, labels: labels(c) }));
            }
            let Some(next) = document.ours() else { return Ok(None) };
            digest = next;
        }
        Ok(None)
    }

    async fn document<T: DeserializeOwned>(
        &self,
        channel: &Channel,
        namespace: &str,
        digest: &str,
    ) -> Result<Option<T>, ManagerError> {
        let request = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let answer = ContentClient::new(channel.clone()).read(self.request(namespace, request)?).await;
        let Some(answer) = self.peer.found(answer)? else { return Ok(None) };
        let mut stream = answer.into_inner();
        let mut text = Vec::new();
        while let Some(Some(part)) = self.peer.found(stream.message().await)? {
            text.extend(part.data);
            if text.len() > MAX_DOCUMENT {
                return Ok(None);
            }
        }
        Ok(serde_json::from_slice(&text).ok())
    }
}

impl Document {
    /// The manifest for this machine.
    fn ours(self) -> Option<String> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let fits = |d: &&Descriptor| d.platform.os == "linux" && d.platform.architecture == architecture;
        let alone = (self.manifests.len() == 1).then(|| &self.manifests[0]);
        self.manifests.iter().find(fits).or(alone).map(|d| d.digest.clone())
    }
}

/// Parts a container's labels from its image's, and says which image it is. Where the image is gone, what its
/// labels were cannot be known: then all of them are taken for the image's.
pub fn part(facts: &mut Facts, image: Option<&Image>) {
    let Some(image) = image else {
        facts.image_labels = std::mem::take(&mut facts.labels);
        return;
    };
    facts.image_id.clone_from(&image.id);
    facts.image_labels.clone_from(&image.labels);
    facts.labels.retain(|key, value| image.labels.get(key) != Some(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_the_image_says_is_not_the_containers_unless_it_says_otherwise() {
        let of_image = labels(&[("io.remora.trace", "all"), ("tier", "image")]);
        let image = Image { id: "sha256:1".into(), labels: of_image.clone() };
        let mixed = labels(&[("io.remora.trace", "all"), ("tier", "own"), ("app", "web")]);
        let mut facts = Facts { labels: mixed.clone(), ..Facts::default() };
        part(&mut facts, Some(&image));
        assert_eq!(facts.labels, labels(&[("tier", "own"), ("app", "web")]));
        assert_eq!((facts.image_labels, facts.image_id.as_str()), (of_image, "sha256:1"));

        let mut facts = Facts { labels: mixed.clone(), ..Facts::default() };
        part(&mut facts, None);
        assert_eq!((facts.labels, facts.image_labels), (Labels::new(), mixed));
    }

    #[test]
    fn an_index_leads_to_the_manifest_of_this_machine() {
        let text = r#"{"manifests":[
            {"digest":"sha256:1","platform":{"architecture":"s390x","os":"linux"}},
            {"digest":"sha256:2","platform":{"architecture":"amd64","os":"linux"}},
            {"digest":"sha256:3","platform":{"architecture":"arm64","os":"linux"}},
            {"digest":"sha256:4","platform":{"architecture":"unknown","os":"unknown"}}]}"#;
        let expected = if cfg!(target_arch = "x86_64") { "sha256:2" } else { "sha256:3" };
        let index: Document = serde_json::from_str(text).unwrap();
        assert_eq!(index.ours().as_deref(), Some(expected));
        let single: Document = serde_json::from_str(r#"{"manifests":[{"digest":"sha256:9"}]}"#).unwrap();
        assert_eq!(single.ours().as_deref(), Some("sha256:9"));
        assert_eq!(Document::default().ours(), None);
    }

    #[test]
    fn a_configuration_may_have_no_labels() {
        for text in ["{}", r#"{"config":null}"#, r#"{"config":{"Labels":null}}"#] {
            let found: Configuration = serde_json::from_str(text).unwrap();
            assert_eq!(found.config.unwrap_or_default().labels, None, "{text}");
        }
    }
}
