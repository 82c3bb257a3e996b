//! The two sockets: handed over by systemd, or made here.

use std::{
    env, fs,
    os::fd::{FromRawFd, OwnedFd},
    os::unix::{fs::PermissionsExt, net},
    path::Path,
};

use anyhow::Context;
use tokio::net::UnixListener;

use crate::config::Config;

/// Root only, unless users may register their own containers.
pub fn hook(config: &Config) -> anyhow::Result<UnixListener> {
    let mode = if config.hook.rootless { 0o666 } else { 0o600 };
    listener("hook", &config.hook.socket, mode, None)
}

pub fn api(config: &Config) -> anyhow::Result<UnixListener> {
    listener("api", &config.api.socket, 0o660, Some(&config.api.group))
}

fn listener(name: &str, path: &Path, mode: u32, group: Option<&str>) -> anyhow::Result<UnixListener> {
    let listener = match inherited(name) {
        Some(fd) => net::UnixListener::from(fd),
        None => bind(path, mode, group).with_context(|| format!("failed to listen on {}", path.display()))?,
    };
    listener.set_nonblocking(true)?;
    Ok(UnixListener::from_std(listener)?)
}

/// sd_listen_fds(3): descriptors from 3 on, their names in LISTEN_FDNAMES.
fn inherited(name: &str) -> Option<OwnedFd> {
    let mine = env::var("LISTEN_PID").ok()?.parse::<u32>().ok()? == std::process::id();
    let count: usize = env::var("LISTEN_FDS").ok()?.parse().ok()?;
    let names = env::var("LISTEN_FDNAMES").ok()?;
    let at = names.split(':').take(count).position(|n| n == name).filter(|_| mine)?;
    // SAFETY: the service manager opened it for this process, and each name is asked for once.
    Some(unsafe { OwnedFd::from_raw_fd(3 + at as i32) })
}

fn bind(path: &Path, mode: u32, group: Option<&str>) -> anyhow::Result<net::UnixListener> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    // The lock says that no other daemon runs: a socket that is there is a leftover.
    if let Err(e) = fs::remove_file(path)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(e.into());
    }
    // Made under its final mode: nobody gets in between.
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(!mode & 0o777));
    let bound = net::UnixListener::bind(path);
    nix::sys::stat::umask(old);
    let listener = bound?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if let Some(group) = group {
        match crate::host::group::id(group) {
            Ok(Some(gid)) => nix::unistd::chown(path, None, Some(gid.into()))?,
            _ => tracing::warn!("no group {group}: only root may open {}", path.display()),
        }
    }
    Ok(listener)
}
