//! Single facts about a process. Each is a snapshot: whoever must know that the pid still means the same
//! process compares the start time before and after.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Clock ticks since boot at which the process started; with the pid it names a process for good.
pub fn start_time(pid: u32) -> io::Result<u64> {
    stat_field(&read(pid, "stat")?, 22).ok_or_else(|| malformed(pid, "stat"))
}

/// Where the stack of the program that it runs begins: another place after each exec.
pub fn stack_start(pid: u32) -> io::Result<u64> {
    stat_field(&read(pid, "stat")?, 28).ok_or_else(|| malformed(pid, "stat"))
}

/// Whether the process was forked and has not executed a program since: before a container's first exec its
/// init is still the runtime. False if the process is gone.
pub fn has_not_executed(pid: u32) -> bool {
    /// Of linux/sched.h.
    const PF_FORKNOEXEC: u64 = 0x40;
    read(pid, "stat").ok().and_then(|s| stat_field::<u64>(&s, 9)).is_some_and(|f| f & PF_FORKNOEXEC != 0)
}

pub fn ppid(pid: u32) -> io::Result<u32> {
    stat_field(&read(pid, "stat")?, 4).ok_or_else(|| malformed(pid, "stat"))
}

/// The process's name for itself, at most 15 bytes; those that are no UTF-8 are replaced.
pub fn comm(pid: u32) -> io::Result<String> {
    let text = read(pid, "comm")?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// Real user id, as the initial user namespace sees it.
pub fn real_uid(pid: u32) -> io::Result<u32> {
    status_uid(&read(pid, "status")?).ok_or_else(|| malformed(pid, "status"))
}

/// User id of whoever created the user namespace that the process is in.
pub fn userns_owner(pid: u32) -> io::Result<u32> {
    /// `_IO(0xb7, 4)` of linux/nsfs.h.
    const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;
    let namespace = File::open(format!("/proc/{pid}/ns/user"))?;
    let mut uid: libc::uid_t = 0;
    // SAFETY: the request stores one uid_t where the third argument points.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) }.into())?;
    Ok(uid)
}

/// A handle that becomes readable when the process ends. Close-on-exec, as all pidfds are.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers and touches no memory of ours.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// How long ago something started at this many clock ticks since boot.
pub fn age(start_time: u64) -> Duration {
    // SAFETY: asks for a number.
    let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1);
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from);
    let start = Duration::from_nanos(start_time.saturating_mul(1_000_000_000 / ticks));
    now.unwrap_or_default().saturating_sub(start)
}

/// Changes with every boot; empty where the kernel does not tell.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn malformed(pid: u32, file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("failed to parse /proc/{pid}/{file}"))
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Field `n` (from 1, as proc(5) counts) of `stat`, for any behind the name. The name is the process's own
/// choice and may hold blanks and parentheses: only the last `)` ends it.
fn stat_field<T: std::str::FromStr>(stat: &str, n: usize) -> Option<T> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(n.checked_sub(3)?)?.parse().ok()
}

fn status_uid(status: &str) -> Option<u32> {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    uids.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        let stat = "77 (a) b) S) R 5 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 10\n";
        assert_eq!(stat_field(stat, 4), Some(5));
        assert_eq!(stat_field(stat, 22), Some(4242u64));
        assert_eq!(stat_field::<u64>("77 (a", 22), None);
        assert_eq!(stat_field::<u64>(stat, 99), None);
    }

    #[test]
    fn the_first_of_the_uids_is_the_real_one() {
        let status = "Name:\tUid: 9\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n";
        assert_eq!(status_uid(status), Some(1000));
        assert_eq!(status_uid("Name:\tx\n"), None);
    }

    #[test]
    fn a_child_is_what_we_started() {
        let mut child = sleeper();
        let pid = child.id();
        assert_eq!(ppid(pid).unwrap(), std::process::id());
        assert!(start_time(pid).unwrap() >= start_time(std::process::id()).unwrap());
        assert_eq!(real_uid(pid).unwrap(), nix::unistd::getuid().as_raw());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(start_time(pid).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pidfd_is_readable_once_its_process_is_gone() {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let mut child = sleeper();
        let fd = pidfd_open(child.id()).unwrap();
        let ready = |timeout| poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout).unwrap();
        assert_eq!(ready(PollTimeout::ZERO), 0);
        child.kill().unwrap();
        assert_eq!(ready(PollTimeout::from(5000u16)), 1);
        child.wait().unwrap();
        assert!(pidfd_open(child.id()).is_err());
    }

    #[test]
    fn the_initial_user_namespace_belongs_to_root() {
        let initial = fs::read_to_string("/proc/self/uid_map").unwrap();
        if initial.split_ascii_whitespace().eq(["0", "0", "4294967295"]) {
            assert_eq!(userns_owner(std::process::id()).unwrap(), 0);
        }
        assert!(userns_owner(u32::MAX).is_err());
    }

    #[test]
    fn a_process_has_an_age() {
        let mut child = sleeper();
        let age = age(start_time(child.id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(age < Duration::from_secs(20), "{age:?}");
    }

    #[test]
    fn a_boot_has_an_id() {
        assert_eq!(boot_id().len(), 36);
    }
}
