//! Each container manager as it is: what it tells, how it is told about remora, and that neither waits for the other.

mod docker;
mod install;
