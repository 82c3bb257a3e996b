//! What the same things always come to.

use sha2::{Digest, Sha256};

/// Of parts, which may have anything in them.
pub fn digest(parts: &[&str]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    u128::from_be_bytes(first)
}

/// Such as `i-0123456789abcdef`.
pub fn id(kind: char, parts: &[&str]) -> String {
    format!("{kind}-{:016x}", (digest(parts) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_makes_the_same_and_parts_do_not_run_into_each_other() {
        assert_eq!(digest(&["a", "bc"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a", "bc"]), digest(&["ab", "c"]));
        let id = id('i', &["ü"]);
        assert!(id.is_ascii() && id.starts_with("i-") && id.len() == 18, "{id}");
    }
}
