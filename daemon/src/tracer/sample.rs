//! Programs that look at each processor so often a second: `SEC("perf_event")`, tagged with how often.

use std::{
    io,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
};

use libbpf_rs::{
    AsRawLibbpf, Link, Object, ProgramMut,
    btf::{Btf, types},
};

use super::contract::Tags;

/// The section of such programs.
pub const SECTION: &str = "perf_event";
const HERTZ_MAX: u32 = 1000;

/// How often, in the words of the tag.
pub fn parse(text: &str) -> Result<u32, String> {
    let hertz = text.parse().ok().filter(|h| (1..=HERTZ_MAX).contains(h));
    hertz.ok_or_else(|| format!("sample {text:?} is not 1 to {HERTZ_MAX} times a second"))
}

/// How often a program of a loaded object runs.
pub fn hertz(object: &Object, program: &str) -> Result<u32, String> {
    // SAFETY: the object lives as long as the borrow of `object`.
    let raw = unsafe { object.as_libbpf_object().as_ref() };
    let btf = Btf::from_bpf_object(raw).map_err(|e| e.to_string())?.ok_or("it has no BTF")?;
    let func = btf.type_by_kind::<types::Func<'_>>().find(|f| f.name().is_some_and(|n| n == program));
    let id = func.ok_or("it has no function of its own")?.type_id();
    parse(
        Tags::read(&btf)?
            .text(id, None, "sample")
            .ok_or("it does not say how often: REMORA_SAMPLE(hertz)")?,
    )
}

/// The processors that are there, each with its number.
pub fn processors() -> impl Iterator<Item = i32> {
    0..libbpf_rs::num_possible_cpus().map_or(0, |n| i32::try_from(n).unwrap_or(0))
}

/// Attaches to the clock of a processor; None: it is offline.
pub fn attach(prog: &ProgramMut<'_>, hertz: u32, processor: i32) -> Result<Option<Link>, String> {
    // ENODEV: offline, or not there at all.
    let clock = match clock(hertz, processor) {
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
        other => other.map_err(|e| format!("failed to open the clock of processor {processor}: {e}"))?,
    };
    let fd = clock.into_raw_fd();
    prog.attach_perf_event(fd).map(Some).map_err(|e| {
        // SAFETY: libbpf takes the descriptor only when it succeeds.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        e.to_string()
    })
}

/// The kernel's own clock, which every machine has: there is no need of a counter in the processor.
fn clock(hertz: u32, processor: i32) -> io::Result<OwnedFd> {
    let mut attr = libbpf_sys::perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        size: size_of::<libbpf_sys::perf_event_attr>() as u32,
        config: libbpf_sys::PERF_COUNT_SW_CPU_CLOCK.into(),
        ..Default::default()
    };
    // A period in nanoseconds: the kernel refuses frequencies when it finds itself too busy.
    attr.__bindgen_anon_1.sample_period = u64::from(1_000_000_000 / hertz);
    attr.set_disabled(1);
    attr.set_exclude_idle(1);
    let (everybody, no_group) = (-1, -1);
    // SAFETY: `attr` outlives the call, and says how long it is.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            everybody,
            processor,
            no_group,
            libbpf_sys::PERF_FLAG_FD_CLOEXEC,
        )
    };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn how_often_has_bounds() {
        assert_eq!(parse("49"), Ok(49));
        for bad in ["", "0", "1001", "-1", "49 Hz"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
