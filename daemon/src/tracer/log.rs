//! What libbpf says, caught while it works: an error carries the end of it.

use std::{
    cell::RefCell,
    ffi::{c_char, c_int, c_void},
    sync::Once,
};

/// Longest single message, in bytes; the verifier's log comes as one. Only what is written takes memory.
const MESSAGE_MAX: usize = 1 << 20;
/// Of one operation.
const KEPT_MAX: usize = 2 << 20;

thread_local! {
    static LOG: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs libbpf with its messages caught.
pub fn with_log<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static CATCH: Once = Once::new();
    CATCH.call_once(catch);
    LOG.set(Some(String::new()));
    let result = f();
    let log = LOG.take().unwrap_or_default();
    result.map_err(|e| {
        let tail = tail(&log);
        if tail.is_empty() { e } else { format!("{e}: {}", tail.join(" | ")) }
    })
}

/// The last lines that tell something, and before them which program they are about.
fn tail(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|l| tells(l)).collect();
    let (before, last) = lines.split_at(lines.len().saturating_sub(8));
    let about = before.iter().rfind(|line| line.starts_with("libbpf: prog '"));
    about.into_iter().chain(last).copied().collect()
}

/// What libbpf adds to each failure says nothing of its cause.
fn tells(line: &str) -> bool {
    const NOISE: [&str; 6] = [
        "try raising 'ulimit -l'",
        "failed to load object",
        "failed to prepare load attributes",
        "PROG LOAD LOG --",
        "processed ",
        ": failed to load: ",
    ];
    !line.is_empty() && !NOISE.iter().any(|n| line.contains(n))
}

unsafe extern "C" {
    fn vsnprintf(to: *mut c_char, size: usize, format: *const c_char, args: *mut c_void) -> c_int;
}

/// libbpf-rs would format for us, but panics on a message that is not UTF-8; names and source lines in an
/// object may be any bytes.
extern "C" fn print(level: u32, format: *const c_char, args: *mut c_void) -> c_int {
    if level == libbpf_sys::LIBBPF_DEBUG {
        return 0;
    }
    let mut buffer = vec![0u8; MESSAGE_MAX];
    // SAFETY: libbpf passes a format and its arguments; no more than the buffer's length is written.
    let len = unsafe { vsnprintf(buffer.as_mut_ptr().cast(), buffer.len(), format, args) };
    buffer.truncate(usize::try_from(len).unwrap_or(0).min(MESSAGE_MAX - 1));
    keep(&String::from_utf8_lossy(&buffer));
    len
}

fn catch() {
    type Print = extern "C" fn(u32, *const c_char, *mut c_void) -> c_int;
    // SAFETY: the same function but for how the bindings call a va_list, which differs by platform; it is
    // always passed as a pointer.
    unsafe {
        let print = std::mem::transmute::<Print, libbpf_sys::libbpf_print_fn_t>(print);
        libbpf_sys::libbpf_set_print(print);
    }
}

fn keep(message: &str) {
    let kept = LOG.with_borrow_mut(|log| {
        log.as_mut().map(|log| {
            if log.len() < KEPT_MAX {
                log.push_str(message);
            }
        })
    });
    if kept.is_none() {
        tracing::debug!(target: "libbpf", "{}", message.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_still_names_the_program() {
        let mut log = "libbpf: prog 'tick': BPF program load failed: -EACCES\nlibbpf: prog 'tick': -- BEGIN PROG LOAD LOG --\n".to_owned();
        (0..20).for_each(|n| log += &format!("{n}: (07) r7 += 1\n"));
        log += "R7 min value is outside of the allowed memory range\nprocessed 77 insns\n-- END PROG LOAD LOG --\n";
        let tail = tail(&log);
        assert_eq!(tail.len(), 9);
        assert_eq!(tail[0], "libbpf: prog 'tick': BPF program load failed: -EACCES");
        assert_eq!(tail[8], "R7 min value is outside of the allowed memory range");
        assert_eq!(super::tail("libbpf: prog 'a': missing\n"), ["libbpf: prog 'a': missing"]);
    }
}
