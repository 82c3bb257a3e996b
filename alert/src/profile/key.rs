//! What a profile is of.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hash;

/// Stands for each digest of an image: of a profile made by hand, or shipped with it.
pub const ANY_DIGEST: &str = "*";

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub image: String,
    /// "" where the runtime tells none.
    pub digest: String,
    /// In a pod, the container's name there; "" elsewhere.
    pub role: String,
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter) -> FmtResult {
        write!(f, "{}@{}", self.image, self.digest)?;
        if self.role.is_empty() { Ok(()) } else { write!(f, "/{}", self.role) }
    }
}

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (image, rest) = text.rsplit_once('@').ok_or("a profile's key is IMAGE@DIGEST[/ROLE]")?;
        let (digest, role) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { image: image.to_owned(), digest: digest.to_owned(), role: role.to_owned() })
    }
}

impl Key {
    /// Of the same image, whatever its tag or digest, and in the same role.
    pub fn is_kin(&self, other: &Self) -> bool {
        self.role == other.role && repository(&self.image) == repository(&other.image)
    }

    /// Of letters, digits, `-`, `_` and `.`, and no other key's.
    pub fn file_name(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let last = self.image.rsplit('/').next().unwrap_or_default();
        let name: String = last.chars().map(safe).take(48).collect();
        format!("{}-{:016x}.yaml", name.trim_start_matches('.'), hash::of(self.to_string().as_bytes()))
    }
}

/// Without tag or digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_shown() {
        for text in ["localhost/nginx:1@sha256:00", "docker.io/a@b@sha256:1/web", "x@", "x@*"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
        assert!("nginx".parse::<Key>().is_err());
    }

    #[test]
    fn names_of_files_are_harmless() {
        let key = Key { image: "a/../..\0 x".into(), digest: "d".into(), role: String::new() };
        let name = key.file_name();
        assert!(
            name.ends_with(".yaml") && !name.contains(['/', '\0', ' ']) && !name.starts_with('.'),
            "{name}"
        );
        assert_ne!(name, Key { role: "r".into(), ..key }.file_name());
    }
}
