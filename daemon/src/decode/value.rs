//! One member of a record as a JSON value.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, UNIX_EPOCH},
};

use super::{syscall, text::json_string};
use crate::tracer::kind::{Kind, Names};

/// What decoding needs beside the record: kernel clocks are not dates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME in nanoseconds.
    pub offset: i64,
}

impl Clock {
    pub fn now() -> Self {
        let ns = |id| nix::time::clock_gettime(id).map_or(0, |t| t.tv_sec() * 1_000_000_000 + t.tv_nsec());
        let realtime = ns(nix::time::ClockId::CLOCK_REALTIME);
        Self { offset: realtime - ns(nix::time::ClockId::CLOCK_BOOTTIME) }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix(self, boottime: u64) -> u64 {
        boottime.saturating_add_signed(self.offset)
    }
}

/// RFC 3339 with nanoseconds.
pub fn rfc3339(unix_ns: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(unix_ns);
    humantime::format_rfc3339_nanos(time).to_string()
}

pub fn unsigned(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    let len = bytes.len().min(8);
    wide[..len].copy_from_slice(&bytes[..len]);
    u64::from_ne_bytes(wide)
}

pub fn signed(bytes: &[u8]) -> i64 {
    let shift = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    ((unsigned(bytes) << shift) as i64) >> shift
}

/// Whether an optional member says nothing.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| *b == 0)
}

/// A member that is no tail.
pub fn scalar(out: &mut Vec<u8>, kind: &Kind, bytes: &[u8], clock: Clock) {
    match kind {
        Kind::Unsigned | Kind::Bytes | Kind::Index | Kind::Pid => number(out, unsigned(bytes)),
        Kind::Signed => print(out, format_args!("{}", signed(bytes))),
        Kind::Bool => out.extend_from_slice(if is_zero(bytes) { b"false" } else { b"true" }),
        Kind::Be16 => number(out, u16::from_be_bytes([bytes[0], bytes[1]]).into()),
        Kind::Duration(unit) => print(out, format_args!("{}", seconds(unsigned(bytes), *unit))),
        _ => quoted(out, &text(kind, bytes, clock)),
    }
}

fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    json_string(out, text);
}

/// The same as text, for labels and tables.
pub fn text(kind: &Kind, bytes: &[u8], clock: Clock) -> Vec<u8> {
    let value = unsigned(bytes);
    match kind {
        Kind::Ktime => rfc3339(clock.unix(value)),
        Kind::Errno => errno_name(value as i32),
        Kind::Signal => signal_name(value as i32),
        Kind::Syscall => syscall::name(value as u32),
        Kind::Mode => format!("{value:04o}"),
        Kind::Dev => format!("{}:{}", value >> 20, value & 0xf_ffff),
        Kind::Ipv4 => Ipv4Addr::from([bytes[0], bytes[1], bytes[2], bytes[3]]).to_string(),
        Kind::Ipv6 => ipv6(bytes),
        Kind::Enum(names) => names.get(value).map_or_else(|| value.to_string(), str::to_owned),
        Kind::Flags(names) => flags(names, value),
        Kind::Chars => return bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec(),
        Kind::Bool => (!is_zero(bytes)).to_string(),
        Kind::Signed => signed(bytes).to_string(),
        Kind::Be16 => u16::from_be_bytes([bytes[0], bytes[1]]).to_string(),
        Kind::Duration(unit) => seconds(value, *unit).to_string(),
        _ => value.to_string(),
    }
    .into_bytes()
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn print(out: &mut Vec<u8>, args: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    let _ = text.write_fmt(args);
    out.extend_from_slice(text.as_bytes());
}

fn seconds(value: u64, unit_ns: u64) -> f64 {
    value as f64 * unit_ns as f64 / 1e9
}

fn errno_name(errno: i32) -> String {
    match nix::errno::Errno::from_raw(errno) {
        nix::errno::Errno::UnknownErrno => format!("E{errno}"),
        known => format!("{known:?}"),
    }
}

fn signal_name(signal: i32) -> String {
    match nix::sys::signal::Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) if signal >= 32 => format!("SIGRT{signal}"),
        Err(_) => signal.to_string(),
    }
}

fn ipv6(bytes: &[u8]) -> String {
    let Ok(bytes) = <[u8; 16]>::try_from(bytes) else { return String::new() };
    let address = Ipv6Addr::from(bytes);
    address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string())
}

/// `A|B`; bits without a name in hexadecimal.
fn flags(names: &Names, value: u64) -> String {
    let mut rest = value;
    let mut parts = Vec::new();
    for (bits, name) in &names.0 {
        if *bits != 0 && rest & bits == *bits {
            parts.push(name.clone());
            rest &= !bits;
        }
    }
    if rest != 0 {
        parts.push(format!("{rest:#x}"));
    }
    if parts.is_empty() { names.get(0).unwrap_or("0").to_owned() } else { parts.join("|") }
}

/// Components from the last to the first, each ended by NUL, as a path. An absolute one ends the walk.
pub fn path(tail: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = tail.split(|b| *b == 0).collect();
    if parts.last().is_some_and(|p| p.is_empty()) {
        parts.pop();
    }
    let absolute = parts.iter().position(|p| p.first() == Some(&b'/'));
    let mut out = Vec::with_capacity(tail.len() + 1);
    for part in parts[..absolute.map_or(parts.len(), |i| i + 1)].iter().rev() {
        if part.first() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(part);
    }
    out
}

/// The strings of an argument vector; the last may lack its NUL when it was cut.
pub fn args(tail: &[u8]) -> impl Iterator<Item = &[u8]> {
    tail.strip_suffix(b"\0").unwrap_or(tail).split(|b| *b == 0).take(if tail.is_empty() {
        0
    } else {
        usize::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn shown(kind: Kind, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        scalar(&mut out, &kind, bytes, Clock { offset: 1_000_000_000 });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scalars_by_meaning() {
        assert_eq!(shown(Kind::Unsigned, &300u16.to_ne_bytes()), "300");
        assert_eq!(shown(Kind::Signed, &(-2i32).to_ne_bytes()), "-2");
        assert_eq!(shown(Kind::Be16, &80u16.to_be_bytes()), "80");
        assert_eq!(shown(Kind::Errno, &2u32.to_ne_bytes()), "\"ENOENT\"");
        assert_eq!(shown(Kind::Signal, &9u32.to_ne_bytes()), "\"SIGKILL\"");
        assert_eq!(shown(Kind::Mode, &0o644u32.to_ne_bytes()), "\"0644\"");
        assert_eq!(shown(Kind::Dev, &0x80_0003u32.to_ne_bytes()), "\"8:3\"");
        assert_eq!(shown(Kind::Duration(1000), &1_500_000u64.to_ne_bytes()), "1.5");
        assert_eq!(shown(Kind::Ktime, &0u64.to_ne_bytes()), "\"1970-01-01T00:00:01.000000000Z\"");
        assert_eq!(shown(Kind::Chars, b"sh\0garbage"), "\"sh\"");
    }

    #[test]
    fn addresses() {
        let v4: [u8; 16] = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        assert_eq!(shown(Kind::Ipv6, &v4), "\"127.0.0.1\"");
        assert_eq!(shown(Kind::Ipv6, &Ipv6Addr::LOCALHOST.octets()), "\"::1\"");
    }

    #[test]
    fn flags_by_name_and_the_rest_in_hexadecimal() {
        let names =
            Arc::new(Names(vec![(0, "O_RDONLY".into()), (1, "O_WRONLY".into()), (0x40, "O_CREAT".into())]));
        assert_eq!(shown(Kind::Flags(names.clone()), &0u32.to_ne_bytes()), "\"O_RDONLY\"");
        assert_eq!(shown(Kind::Flags(names.clone()), &0x41u32.to_ne_bytes()), "\"O_WRONLY|O_CREAT\"");
        assert_eq!(shown(Kind::Flags(names), &0x8041u32.to_ne_bytes()), "\"O_WRONLY|O_CREAT|0x8000\"");
    }

    #[test]
    fn paths_are_put_together_from_their_end() {
        assert_eq!(path(b"ls\0bin\0usr\0"), b"/usr/bin/ls");
        assert_eq!(path(b"\0"), b"/");
        assert_eq!(path(b"etc/passwd\0home\0"), b"/home/etc/passwd");
        assert_eq!(path(b"/etc/passwd\0home\0"), b"/etc/passwd");
        assert_eq!(path(b""), b"");
    }

    #[test]
    fn arguments_keep_empty_strings() {
        let list = |t| args(t).collect::<Vec<_>>();
        assert_eq!(list(b"sh\0-c\0\0"), [&b"sh"[..], b"-c", b""]);
        assert_eq!(list(b"cut"), [&b"cut"[..]]);
        assert!(list(b"").is_empty());
    }
}
