//! What a container's annotations say: whether it wants to be traced and how, and who it is.

mod identity;
mod opt_in;
mod storage;

use remora_wire::bundle::BundleError;
use remora_wire::{Annotations, Bundle};
use std::path::{Path, PathBuf};

pub use identity::{Identity, Learnt, Pod, lacking_names};
pub use opt_in::{MAX_PARAMS, MAX_TRACERS, OptIn, OptInError};

/// Annotations of a bundle's `config.json` and its root file system, for containers that no hook announced.
///
/// Read with the hook's own reader, not with oci-spec's types: those refuse a whole specification for one
/// field that is newer or more careless than they are, and we need two of its fields.
pub fn bundle_annotations(bundle: &Path) -> Result<(Annotations, PathBuf), BundleError> {
    let Bundle { annotations, root } = Bundle::read(bundle)?;
    Ok((annotations, root.unwrap_or_else(|| bundle.join("rootfs"))))
}

/// The first of the keys that has a value.
fn first<'a>(annotations: &'a Annotations, keys: &[&str]) -> &'a str {
    let values = keys.iter().filter_map(|key| annotations.get(*key));
    values.map(String::as_str).find(|value| !value.is_empty()).unwrap_or_default()
}

/// The longest prefix of at most `max` bytes that ends between two characters.
fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((cut("größe", 3), cut("größe", 4), cut("größe", 99)), ("gr", "grö", "größe"));
    }

    #[test]
    fn an_unknown_or_odd_field_of_a_bundle_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"{"ociVersion":"9","root":{"path":"fs"},"linux":{"netDevices":{"eth0":{}}},
            "annotations":{"io.remora.trace":"exec","count":3},"process":{"user":"root"}}"#;
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let (annotations, root) = bundle_annotations(dir.path()).unwrap();
        assert_eq!(annotations["io.remora.trace"], "exec");
        assert_eq!(root, dir.path().join("fs"));
        assert!(
            bundle_annotations(Path::new("/nonexistent")).unwrap_err().to_string().contains("/nonexistent")
        );
    }
}
