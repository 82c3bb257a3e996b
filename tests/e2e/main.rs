//! End to end, as root: the binaries as built, real runtimes, the running kernel.

mod attach;
mod bad_input;
mod contract;
mod crash;
mod example;
mod faces;
mod first_exec;
mod flood;
mod holes;
mod hostile;
mod hot;
mod managers;
mod remote;
mod scope;
mod tables;
mod tracers;
mod truth;
