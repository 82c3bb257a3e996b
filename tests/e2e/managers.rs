//! Container managers, each for real: labels, identity, and what happens when they are slow, wrong or away.

mod escape;
mod podman;
