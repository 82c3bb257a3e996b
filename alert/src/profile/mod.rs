//! Learned profiles, one for each image and role: what its containers do, and how far something leaves that.

mod compare;
mod course;
mod entry;
mod file;
mod hash;
mod key;
mod names;
mod novelty;
mod one;
mod pending;
mod seat;
mod store;
mod summary;
mod told;
mod tree;
mod trie;

pub use compare::{Difference, OfOthers, diff, merge};
pub use entry::{Entry, Replicas};
pub use key::{ANY_DIGEST, Key};
pub use novelty::{NOVEL, Novelty, is_act};
pub use one::{Phase, Profile, State};
pub use store::{Profiles, Settings, Verdict};
pub use summary::Summary;

/// What the heap takes for so many bytes.
fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

#[cfg(test)]
mod tests;
