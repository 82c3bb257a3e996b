//! What is worth a person's attention in the events of containers. Everything here is driven by events and by the times
//! they carry: the daemon and `remora replay` run the same code, and the same events have the same result.

pub mod event;
pub mod meaning;
pub mod expression;
pub mod yaml;
pub mod rules;
pub mod process;
pub mod behaviour;
pub mod profile;
pub mod alarm;
pub mod incident;
pub mod engine;
pub mod time;
mod bounded;
mod packed;
mod shown;
