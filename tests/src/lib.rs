//! What the end-to-end tests stand on: a daemon in folders and a bpffs of its own, real runtimes beside it.
//! Each test has a bed of its own, so that tests run side by side and twice; what a bed made goes with it.

pub mod alertmanager;
pub mod bed;
pub mod containerd;
pub mod cri;
pub mod cgroup;
pub mod dns;
pub mod docker;
pub mod events;
pub mod fixtures;
pub mod otlp;
pub mod podman;
pub mod pty;
pub mod runc;
pub mod service;
pub mod sink;
pub mod trio;

pub use alertmanager::Alertmanager;
pub use bed::Bed;
pub use cgroup::Cgroup;
pub use containerd::Containerd;
pub use cri::Cri;
pub use docker::Docker;
pub use events::Events;
pub use fixtures::fixture;
pub use podman::Podman;
pub use pty::Pty;
pub use runc::Bundle;
pub use sink::Sink;
pub use trio::Trio;

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

/// Where the binaries under test are.
pub fn build_dir() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../build");
    std::env::var_os("REMORA_BUILD").map_or_else(|| default.into(), PathBuf::from)
}

/// A file of the checkout, or of what was carried into a virtual machine.
pub fn source(path: &str) -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    std::env::var_os("REMORA_SOURCE").map_or_else(|| default.into(), PathBuf::from).join(path)
}

/// How often something is repeated: `REMORA_STARTS`, or what the test finds enough.
pub fn count(default: u32) -> u32 {
    std::env::var("REMORA_STARTS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Whether this is an emulated machine.
pub fn emulated() -> bool {
    std::env::var_os("REMORA_VM").is_some()
}

/// Emulated machines are slow: every wait is as long as this says.
pub fn patience() -> Duration {
    Duration::from_secs(if emulated() { 120 } else { 30 })
}

/// A datagram, within the socket's time limit. With one, the kernel does not begin again by itself after a signal.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        match socket.recv_from(buffer) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            received => return received.expect("no datagram"),
        }
    }
}

/// Waits until the condition holds; panics with what was waited for if it never does.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end; panics with its output if it fails.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("failed to run {command:?}: {e}"))
}

/// An executable script of the shell.
pub fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("failed to write a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("failed to write a script");
}
