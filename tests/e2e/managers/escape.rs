//! A container whose init is moved out of its cgroup is followed, or its ledger says why not.

use std::{fs, path::PathBuf, process::Command};

use remora_tests::{Bed, Bundle, wait_for};

/// A cgroup beside the container's, gone with the test.
struct Cgroup(PathBuf);

impl Cgroup {
    fn beside(path: &str, name: &str) -> Self {
        let path = PathBuf::from(path).parent().expect("a parent").join(name);
        fs::create_dir(&path).expect("failed to make a cgroup");
        Self(path)
    }

    fn add(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("failed to move");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Busy until the last process in it has been reaped.
        for _ in 0..100 {
            match fs::remove_dir(&self.0) {
                Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                _ => return,
            }
        }
    }
}

fn note_of(bed: &Bed, name: &str) -> String {
    wait_for("the escape to be noted", || {
        let view = bed.container(name)?;
        let notes = view["ledger"]["notes"].as_array()?.iter().filter_map(|n| n.as_str());
        notes.into_iter().find(|n| n.contains("left the container's cgroup")).map(str::to_owned)
    })
}

#[test]
fn init_that_is_moved_alone_is_followed() {
    let bed = Bed::new();
    let script = "while [ ! -e /tmp/go ]; do /bin/sleep 0.1; done; /bin/uname; exec /bin/sleep 1000";
    let bundle = Bundle::new(&bed, "escaped", "exec", &["/bin/sh", "-c", script]);
    let mut child = bundle.start();
    let view = wait_for("the container", || bed.container("escaped"));
    let pid = wait_for("the container to run", || bundle.pid());
    let elsewhere =
        Cgroup::beside(view["cgroup_path"].as_str().expect("a path"), &format!("{}-x", bed.name()));
    elsewhere.add(pid);
    let note = note_of(&bed, "escaped");
    assert!(note.ends_with("is traced, too, from then on"), "{note}");
    fs::write(format!("/proc/{pid}/root/tmp/go"), "").expect("failed to write");
    wait_for("the exec elsewhere", || {
        let seen = bed.events_of("escaped").named("exec").texts("process.executable.path");
        seen.contains(&"/bin/uname".to_owned()).then_some(())
    });
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("escaped");
    bed.assert_empty();
}

#[test]
fn init_that_is_moved_among_others_is_not_followed() {
    let bed = Bed::new();
    let bundle = Bundle::new(&bed, "mixed", "exec", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    let view = wait_for("the container", || bed.container("mixed"));
    let pid = wait_for("the container to run", || bundle.pid());
    let elsewhere =
        Cgroup::beside(view["cgroup_path"].as_str().expect("a path"), &format!("{}-y", bed.name()));
    let mut other = Command::new("sleep").arg("1000").spawn().expect("failed to start");
    elsewhere.add(other.id());
    elsewhere.add(pid);
    let note = note_of(&bed, "mixed");
    assert!(note.ends_with("is not traced: others are in it"), "{note}");
    other.kill().expect("failed to kill");
    other.wait().expect("failed to wait");
    bundle.delete();
    child.wait().expect("failed to wait");
    bed.ended("mixed");
    bed.assert_empty();
}
