//! Tracers: BPF objects that describe themselves. File, then opened, then loaded, then attached.

pub mod contract;
pub mod engine;
pub mod file;
pub mod keep;
pub mod kind;
pub mod links;
pub mod load;
pub mod metric;
pub mod open;
pub mod plan;

pub use contract::Description;
pub use engine::Engine;
pub use file::ObjectFile;
pub use load::Loaded;
pub use open::Opened;
