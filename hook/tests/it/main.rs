//! The built binaries as real processes, against a daemon that is played by the test.

mod answers;
mod required;
mod rig;
mod spool;
mod state;
mod wrapper;
