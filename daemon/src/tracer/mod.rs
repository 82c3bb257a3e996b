//! Tracers: BPF objects that describe themselves. File, then opened, then loaded, then attached.

mod admit;
pub mod budget;
pub mod carry;
pub mod change;
pub mod contract;
pub mod cost;
pub mod engine;
pub mod file;
pub mod files;
pub mod keep;
pub mod kernel;
pub mod kind;
pub mod links;
pub mod load;
pub mod log;
pub mod metric;
pub mod open;
pub mod params;
pub mod plan;
mod reaper;
pub mod role;
mod sample;
pub mod stack;
pub mod settings;
pub mod refresh;
mod switch;
pub mod table;
pub mod trial;
pub mod users;
pub mod view;

pub use contract::Description;
pub use engine::Engine;
pub use file::ObjectFile;
pub use load::Loaded;
pub use open::Opened;
