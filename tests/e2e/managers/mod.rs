//! Containers by whatever manages them.

mod containerd;
mod cri;
mod docker;
mod escape;
mod guide;
mod install;
mod labels;
mod nri;
mod podman;
mod together;

use remora_tests::{Bed, wait_for};

/// The container's first event is the exec of its own program, as process 1.
fn assert_first_exec(bed: &Bed, container: &str, program: &str) {
    let events = wait_for(&format!("an event of {container}"), || {
        Some(bed.events_of(container)).filter(|events| !events.is_empty())
    });
    let first = events.first();
    assert_eq!(first["event"]["name"], "exec", "{container}: {first}");
    assert_eq!(first["process"]["executable"]["path"], program, "{container}: {first}");
    assert_eq!(first["process"]["vpid"], 1, "{container}: {first}");
}
