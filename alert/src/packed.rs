//! What the build packed: JSON.

use serde::de::DeserializeOwned;

/// What the build wrote is as it wrote it.
pub fn read<T: DeserializeOwned>(packed: &[u8]) -> T {
    let json = miniz_oxide::inflate::decompress_to_vec(packed).expect("the build packed it");
    serde_json::from_slice(&json).expect("the build packed JSON of that form")
}
