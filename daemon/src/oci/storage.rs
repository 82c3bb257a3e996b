//! The container list of containers/storage, which podman and CRI-O write before they call a runtime. It is
//! replaced by rename, so that it can be read without its lock.

use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest list that is read, in bytes: some ten thousand containers.
const MAX_LIST: u64 = 16 << 20;
/// Containers started with `--rm` are kept apart by later versions.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record {
    id: String,
    pub names: Vec<String>,
    /// The image's id.
    pub image: String,
    /// JSON of the manager's own.
    metadata: String,
}

impl Record {
    /// The name by which the image was asked for.
    pub fn image_name(&self) -> String {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "kebab-case")]
        struct Metadata {
            image_name: String,
        }
        serde_json::from_str::<Metadata>(&self.metadata).unwrap_or_default().image_name
    }
}

/// The record of a container whose bundle is `STORAGE/ID/userdata`.
pub fn find(bundle: &Path, id: &str) -> Option<Record> {
    let container = bundle.parent().filter(|_| bundle.ends_with("userdata"))?;
    let storage = container.parent().filter(|_| container.ends_with(id))?;
    LISTS.iter().find_map(|list| read(&storage.join(list))?.into_iter().find(|record| record.id == id))
}

fn read(list: &Path) -> Option<Vec<Record>> {
    let mut bytes = Vec::new();
    File::open(list).ok()?.take(MAX_LIST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_bundle_within_a_storage_has_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let storage = dir.path();
        fs::write(storage.join("containers.json"), r#"[{"id":"a","names":["x"]}]"#).unwrap();
        fs::write(storage.join("volatile-containers.json"), r#"[{"id":"v","names":["y"],"created":1}]"#)
            .unwrap();
        let name = |path: &str, id| find(&storage.join(path), id).map(|record| record.names.concat());
        assert_eq!(name("a/userdata", "a").as_deref(), Some("x"));
        assert_eq!(name("v/userdata", "v").as_deref(), Some("y"));
        assert_eq!(name("b/userdata", "b"), None);
        assert_eq!(name("a/userdata", "b"), None);
        assert_eq!(name("a", "a"), None);
        assert_eq!(find(Path::new("/"), "a").map(|record| record.names), None);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("containers.json");
        assert!(read(&list).is_none());
        fs::write(&list, "[{").unwrap();
        assert!(read(&list).is_none());
        fs::write(&list, "null").unwrap();
        assert!(read(&list).is_none());
    }

    #[test]
    fn metadata_of_another_form_names_no_image() {
        for metadata in ["", "{}", "[]", "{\"image-name\":7}"] {
            assert_eq!(Record { metadata: metadata.into(), ..Record::default() }.image_name(), "");
        }
    }
}
