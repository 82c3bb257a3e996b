//! Stories, from events to what is told of them.

mod folding;
mod habits;
mod hostile;
mod joining;
mod scores;
pub mod support;
