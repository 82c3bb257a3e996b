//! Containers by whatever manages them.

mod containerd;
mod cri;
mod nri;

use remora_tests::Bed;

/// The container's first event is the exec of its own program, as process 1.
fn assert_first_exec(bed: &Bed, container: &str, program: &str) {
    let events = bed.events_of(container);
    let first = events.first();
    assert_eq!(first["event"]["name"], "exec", "{container}: {first}");
    assert_eq!(first["process"]["executable"]["path"], program, "{container}: {first}");
    assert_eq!(first["process"]["vpid"], 1, "{container}: {first}");
}
