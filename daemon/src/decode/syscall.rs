//! System calls by name: this machine's table, and the one of its 32-bit programs.

use syscalls::Sysno;
#[cfg(target_arch = "aarch64")]
use syscalls::arm::Sysno as Sysno32;
#[cfg(not(target_arch = "aarch64"))]
use syscalls::x86::Sysno as Sysno32;

/// `REMORA_SYSCALL_32`
const TABLE_32: u32 = 1 << 31;
/// What a tracer says instead of a number that cannot be one.
const NO_NUMBER: u32 = TABLE_32 - 1;
const NAME_32: &str = if cfg!(target_arch = "aarch64") { "arm" } else { "i386" };

/// `openat`, `i386:openat`; what has no name in decimal.
pub fn name(syscall: u32) -> String {
    let number = syscall & !TABLE_32;
    let id = number as usize;
    let in_32 = syscall & TABLE_32 != 0;
    let known = if in_32 { Sysno32::new(id).map(|s| s.name()) } else { Sysno::new(id).map(|s| s.name()) };
    let name = match known {
        Some(name) => name.to_owned(),
        None if number == NO_NUMBER => "unknown".to_owned(),
        None => number.to_string(),
    };
    if in_32 { format!("{NAME_32}:{name}") } else { name }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_tables() {
        assert_eq!(name(257), "openat");
        assert_eq!(name(257 | TABLE_32), "i386:remap_file_pages");
        assert_eq!(name(1023), "1023");
        assert_eq!(name(1023 | TABLE_32), "i386:1023");
        assert_eq!(name(NO_NUMBER), "unknown");
    }
}
