//! Each tracer against ground truth from outside, and the trio: no container, another one, this one.

/// What both ends of a connection play, as `act tcp` does.
#[path = "../../act/tcp.rs"]
#[allow(dead_code, reason = "an act has an entry that is called by its name")]
mod tcp;

mod blockio;
mod capability;
mod dns;
mod exec;
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

use remora_tests::{Bed, events::text};

/// Those with a module here, and those that the rest of the tests is made of.
const TESTED: [&str; 21] = [
    "blockio",
    "capability",
    "dns",
    "exec",
    "file",
    "filelat",
    "flow",
    "guard",
    "http",
    "listen",
    "memory",
    "offcpu",
    "oom",
    "profile",
    "resources",
    "runqlat",
    "signal",
    "syscall",
    "tcp",
    "tls",
    "udp",
];

/// None is silently absent: each is there, loads on this kernel, and is tested.
#[test]
fn every_builtin_tracer_is_here() {
    let mut bed = Bed::preloading();
    bed.start();
    let all = bed.json("/v1/tracers");
    let all = all.as_array().expect("a list");
    let names: Vec<String> = all.iter().map(|t| text(t, "name")).collect();
    assert_eq!(names, TESTED);
    for tracer in all {
        assert_eq!(tracer["state"], "loaded", "{tracer}");
    }
}
