//! With the hook installed the container's first exec is its first event, and nobody else is seen.

use remora_tests::{Bed, Bundle, Podman, count};

/// Every start's first event must be the exec of its entrypoint, and each exec and exit of it be seen.
fn check(bed: &Bed, name: &str, program: &str) {
    let ended = bed.ended(name);
    assert_eq!(ended["ledger"].get("late"), None, "{name}: {ended}");
    let events = bed.events_of(name);
    let first = events.first();
    assert_eq!(first["event"]["name"], "exec", "{name}: {first}");
    assert_eq!(first["process"]["executable"]["path"], program, "{name}: {first}");
    assert_eq!(first["process"]["working_directory"], "/", "{name}: {first}");
    assert_eq!(first["process"].get("working_directory_truncated"), None, "{name}: {first}");
    assert_eq!(first["process"]["vpid"], 1, "{name}: {first}");
    assert_eq!(events.named("exec").len(), 2, "{name}: {events:?}");
    assert_eq!(events.named("exit").len(), 2, "{name}: {events:?}");
    let ledger = &ended["ledger"]["tracers"]["exec"];
    assert_eq!((&ledger["counted"], &ledger["delivered"]), (&4.into(), &4.into()), "{name}: {ended}");
}

#[test]
fn runc_starts() {
    let bed = Bed::new();
    let names: Vec<String> = (0..count(200)).map(|n| format!("start-{n}")).collect();
    for name in &names {
        let bundle = Bundle::new(&bed, name, "exec", &["/bin/sh", "-c", "/bin/ls / >/dev/null; exit 0"]);
        bundle.run();
    }
    names.iter().for_each(|name| check(&bed, name, "/bin/sh"));
    only(&bed, "start-");
    bed.assert_empty();
}

#[test]
fn podman_starts() {
    let bed = Bed::new();
    let podman = Podman::new(&bed);
    let names: Vec<String> = (0..count(200)).map(|n| format!("pod-{n}")).collect();
    let script = ["sh", "-c", "/bin/ls / >/dev/null; exit 0"];
    for (n, name) in names.iter().enumerate() {
        podman.run(name, &["--rm", "--annotation", "io.remora.trace=exec"], &script);
        if n % 10 == 0 {
            podman.run(&format!("neighbour-{n}"), &["--rm"], &script);
        }
    }
    names.iter().for_each(|name| check(&bed, name, "/bin/sh"));
    only(&bed, "pod-");
    bed.assert_empty();
}

/// No event of anybody whose name begins otherwise.
fn only(bed: &Bed, prefix: &str) {
    let others =
        bed.events().only(|e| !e["container"]["name"].as_str().is_some_and(|n| n.starts_with(prefix)));
    assert!(others.is_empty(), "{others:?}");
}
