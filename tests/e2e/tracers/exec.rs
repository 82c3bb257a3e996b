//! What an execution says beyond who executed what, which `truth` holds against strace.

use remora_tests::{Bed, Podman, events::text};

/// Where a program's file comes from, and whose descendant it is when shells only fork in between.
#[test]
fn origin_and_ancestor() {
    let bed = Bed::new();
    let podman = Podman::new(&bed);
    let script = "/bin/cp /bin/busybox /tmp/true; /tmp/true; exec 3</tmp/true; /bin/rm /tmp/true; /proc/self/fd/3 2>/dev/null; \
                  (((/bin/true; :); :); :); :";
    podman.run("made", &["--annotation", "io.remora.trace=exec"], &["sh", "-c", script]);
    bed.ended("made");
    let execs = bed.events_of("made").named("exec");
    let shell = &execs.first()["process"]["pid"];
    let seen: Vec<_> = execs.0.iter().map(|e| (text(e, "exec.filename"), text(e, "exec.origin"))).collect();
    let overlay = podman.driver() == "overlay";
    let expected = [
        ("/bin/cp", "image"),
        ("/tmp/true", if overlay { "upper" } else { "image" }),
        ("/bin/rm", "image"),
        ("/proc/self/fd/3", "removed"),
        ("/bin/true", "image"),
    ];
    let seen: Vec<_> = seen.iter().map(|(file, origin)| (file.as_str(), origin.as_str())).collect();
    assert_eq!(seen[0].1, "image", "{seen:?}");
    assert_eq!(seen[1..], expected);
    for exec in &execs.0[1..] {
        assert_eq!(&exec["process"]["ancestor_pid"], shell, "{exec}");
    }
    assert_ne!(&execs.0[5]["process"]["parent_pid"], shell, "a subshell was its parent: {:?}", execs.0[5]);
}
