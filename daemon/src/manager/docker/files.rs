//! docker's files: `containers/ID/config.v2.json`, replaced by rename, and the images' configurations.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::manager::Labels;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// What the files say of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    /// Its own and its image's.
    pub labels: Labels,
    /// None: no file tells.
    pub image_labels: Option<Labels>,
    pub image_name: String,
    pub image_id: String,
    pub pid: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    pub labels: Option<Labels>,
    image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Record {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    image: String,
    driver: String,
    config: Config,
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    running: bool,
    pid: i64,
}

/// Where a container's record is; None for an id that is none of docker's.
pub fn config(root: &Path, id: &str) -> Option<PathBuf> {
    is_hex(id).then(|| root.join("containers").join(id).join("config.v2.json"))
}

/// Whether this is an image's id, and no path.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// None: docker has no such container.
pub fn read(root: &Path, id: &str) -> io::Result<Option<Container>> {
    let Some(bytes) = config(root, id).map(|path| bytes(&path)).transpose()?.flatten() else {
        return Ok(None);
    };
    let record: Record = serde_json::from_slice(&bytes)?;
    if record.id != id {
        return Err(io::Error::other("its record is another container's"));
    }
    let pid = u32::try_from(record.state.pid).ok().filter(|pid| record.state.running && *pid > 1);
    Ok(Some(Container {
        name: record.name.trim_start_matches('/').to_owned(),
        labels: record.config.labels.unwrap_or_default(),
        image_labels: image_labels(root, &record.driver, &record.image),
        image_name: record.config.image,
        image_id: record.image,
        pid,
    }))
}

fn image_labels(root: &Path, driver: &str, image: &str) -> Option<Labels> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Image {
        config: Option<Config>,
    }
    let digest = image.strip_prefix("sha256:").filter(|digest| is_hex(digest))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if driver.is_empty() || !driver.bytes().all(plain) {
        return None;
    }
    let path = root.join("image").join(driver).join("imagedb/content/sha256").join(digest);
    let image: Image = serde_json::from_slice(&bytes(&path).ok()??).ok()?;
    Some(image.config.and_then(|config| config.labels).unwrap_or_default())
}

fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("{} is larger than {MAX_FILE} bytes", path.display())));
    }
    Ok(Some(bytes))
}
