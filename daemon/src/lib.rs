//! The daemon, in the order the data flows: hook, intake, registry, scope; kernel; ring, event, sinks, faces.

pub mod config;
pub mod host;
pub mod worker;
pub mod outlet;

pub mod intake;
pub mod oci;
pub mod manager;
pub mod nri;
pub mod registry;
pub mod scope;

pub mod tracer;
pub mod directory;
pub mod ring;
pub mod event;
pub mod decode;

pub mod sink;
pub mod history;
pub mod metrics;
pub mod stacks;
pub mod topology;
pub mod report;
pub mod alert;
pub mod api;
pub mod otlp;
pub mod web;
pub mod daemon;
pub mod setup;
pub mod cli;
