//! The daemon's own process, under the names that every client library of Prometheus gives it.

use std::{fs, time::SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use crate::host::proc;
use crate::tracer::metric::MetricType::{self, Counter, Gauge};

/// Name, help, kind and value; those that the kernel does not tell are left out.
pub fn values() -> Vec<(&'static str, &'static str, MetricType, f64)> {
    let all = [
        ("process_cpu_seconds_total", "Processor time that the daemon has used.", Counter, cpu_seconds()),
        ("process_resident_memory_bytes", "Resident memory of the daemon.", Gauge, resident()),
        ("process_open_fds", "Open file descriptors of the daemon.", Gauge, open_fds()),
        (
            "process_start_time_seconds",
            "When the daemon started, in seconds since 1970.",
            Gauge,
            start_time(),
        ),
    ];
    all.into_iter().filter_map(|(name, help, kind, value)| Some((name, help, kind, value?))).collect()
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn resident() -> Option<f64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok()??;
    Some(pages as f64 * page as f64)
}

fn open_fds() -> Option<f64> {
    // The one that reads the folder is not counted.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn start_time() -> Option<f64> {
    let age = proc::age(proc::start_time(std::process::id()).ok()?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    // As the kernel counts it: the same at each look.
    Some(((now.as_secs_f64() - age.as_secs_f64()) * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let values = values();
        assert_eq!(values.len(), 4, "{values:?}");
        assert!(values.iter().all(|(.., value)| *value > 0.0), "{values:?}");
    }
}
