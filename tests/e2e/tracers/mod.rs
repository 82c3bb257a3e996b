//! Each tracer against ground truth from outside, and the trio: no container, another one, this one.

mod blockio;
mod capability;
mod dns;
mod file;
mod filelat;
mod flow;
mod guard;
mod http;
mod listen;
mod memory;
mod offcpu;
mod oom;
mod profile;
mod resources;
mod runqlat;
mod signal;
mod syscall;
mod tls;
mod udp;
