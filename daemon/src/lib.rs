//! The daemon, in the order the data flows: hook, intake, registry, scope; kernel; ring, event, sinks, faces.

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decode;
pub mod directory;
pub mod event;
pub mod host;
pub mod intake;
pub mod metrics;
pub mod oci;
pub mod registry;
pub mod ring;
pub mod scope;
pub mod sink;
pub mod tracer;
