//! What sending things elsewhere has in common: where to, one request and what comes of it, patience, and up to where it came.

pub mod address;
pub mod http;
mod patience;
pub mod place;

pub use http::{Outcome, Post};
pub use patience::Patience;

#[cfg(test)]
mod tests;
