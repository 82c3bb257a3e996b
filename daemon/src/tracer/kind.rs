//! What a member means: from its BTF type and the names of the typedefs on the way to it.

use std::sync::Arc;

use libbpf_rs::btf::{Btf, BtfKind, BtfType, HasSize, TypeId, types};

use super::kernel;

/// How the bytes of a member are to be read and shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Unsigned,
    Signed,
    Bool,
    /// CLOCK_BOOTTIME nanoseconds, shown as a date.
    Ktime,
    /// A duration in units of this many nanoseconds, shown in seconds.
    Duration(u64),
    Bytes,
    Errno,
    Signal,
    /// A number of this machine's table, or of its 32-bit one.
    Syscall,
    Mode,
    Dev,
    Ipv4,
    Ipv6,
    Be16,
    Enum(Arc<Names>),
    Flags(Arc<Names>),
    /// A string in an array of fixed size, ended by NUL or the array's end.
    Chars,
    Text,
    Args,
    Path,
    /// Index of the container: a metric's key.
    Index,
    /// Whose addresses a user's stack has.
    Pid,
    /// Which of that process's programs they belong to; not shown.
    Image,
    /// Functions: the id of their addresses in the tracer's stacks; in a table's key.
    UserStack,
    KernelStack,
    /// Bucket counts, then the sum.
    Histogram(Histogram),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    pub buckets: usize,
    /// Bucket i counts values below 2^(i + first).
    pub first: u32,
    /// How many of the kernel's units are one of the metric's.
    pub per_unit: f64,
    pub unit: &'static str,
}

/// Enumerators, by value.
#[derive(Debug, Clone, PartialEq)]
pub struct Names(pub Vec<(u64, String)>);

impl Names {
    pub fn get(&self, value: u64) -> Option<&str> {
        self.0.iter().find(|(v, _)| *v == value).map(|(_, n)| n.as_str())
    }
}

impl Kind {
    /// A tail's bytes stand behind the record; the member holds their length.
    pub fn is_tail(&self) -> bool {
        matches!(self, Self::Text | Self::Args | Self::Path)
    }

    /// What belongs in the key of a table with stacks, and nowhere else.
    pub fn is_of_stacks(&self) -> bool {
        matches!(self, Self::Image | Self::UserStack | Self::KernelStack)
    }

    /// An enum whose values are or-ed together; tags cannot stand on enums, so members carry this one.
    pub fn as_flags(self) -> Result<Self, String> {
        match self {
            Self::Enum(names) => Ok(Self::Flags(names)),
            other => Err(format!("flags are an enum, not a {}", other.name())),
        }
    }

    /// The name documents and schemas use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unsigned | Self::Signed | Self::Bytes | Self::Index | Self::Pid | Self::Image => "integer",
            Self::Bool => "boolean",
            Self::Ktime => "time",
            Self::Duration(_) => "seconds",
            Self::Errno => "errno",
            Self::Signal => "signal",
            Self::Syscall => "syscall",
            Self::Mode => "mode",
            Self::Dev => "device",
            Self::Ipv4 | Self::Ipv6 => "address",
            Self::Be16 => "port",
            Self::Enum(_) => "enum",
            Self::Flags(_) => "flags",
            Self::Chars | Self::Text => "string",
            Self::Args => "strings",
            Self::UserStack | Self::KernelStack => "stack",
            Self::Path => "path",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Kind and size of a type, or why it cannot be shown.
pub fn of(btf: &Btf<'_>, id: TypeId) -> Result<(Kind, usize), String> {
    let ty = btf.type_by_id::<BtfType<'_>>(id).ok_or("type missing from BTF")?;
    if ty.kind() == BtfKind::Typedef {
        let name = name_of(&ty);
        if let Some((kind, expected)) = by_typedef(&name) {
            return match size_of(&ty)? {
                size if size == expected => Ok((kind, size)),
                size => Err(format!("{name} of {size} bytes, it has {expected}")),
            };
        }
    }
    match ty.kind() {
        BtfKind::Typedef | BtfKind::Volatile | BtfKind::Const | BtfKind::TypeTag => {
            let next = ty.next_type().ok_or("typedef of nothing")?;
            of(btf, next.type_id())
        }
        BtfKind::Int => integer(&ty),
        BtfKind::Enum | BtfKind::Enum64 => enumeration(&ty),
        BtfKind::Array => array(&ty),
        BtfKind::Struct if name_of(&ty) == "remora_histogram" => match size_of(&ty)? {
            HISTOGRAM_SIZE => Ok((Kind::Histogram(histogram(0, 1.0, "")), HISTOGRAM_SIZE)),
            size => Err(format!("remora_histogram of {size} bytes, it has {HISTOGRAM_SIZE}")),
        },
        BtfKind::Struct => Err(format!("struct {} behind a typedef cannot be shown", name_of(&ty))),
        BtfKind::Ptr => Err("a pointer cannot be shown".into()),
        other => Err(format!("a {} {} cannot be shown", format!("{other:?}").to_lowercase(), name_of(&ty))
            .replace("  ", " ")),
    }
}

/// `REMORA_BUCKETS` counts and the sum.
const HISTOGRAM_SIZE: usize = 264;

/// The meaning of a typedef, and its size: a record is read by it.
fn by_typedef(name: &str) -> Option<(Kind, usize)> {
    Some(match name {
        "remora_ktime" => (Kind::Ktime, 8),
        "remora_ns" => (Kind::Duration(1), 8),
        "remora_us" => (Kind::Duration(1000), 8),
        "remora_bytes" => (Kind::Bytes, 8),
        "remora_errno" => (Kind::Errno, 4),
        "remora_signal" => (Kind::Signal, 4),
        "remora_syscall" => (Kind::Syscall, 4),
        "remora_mode" => (Kind::Mode, 4),
        "remora_dev" => (Kind::Dev, 4),
        "remora_ipv4" => (Kind::Ipv4, 4),
        "remora_ipv6" => (Kind::Ipv6, 16),
        "remora_be16" => (Kind::Be16, 2),
        "remora_index" => (Kind::Index, 4),
        "remora_pid" => (Kind::Pid, 4),
        "remora_image" => (Kind::Image, 8),
        "remora_user_stack" => (Kind::UserStack, 4),
        "remora_kernel_stack" => (Kind::KernelStack, 4),
        "remora_text" => (Kind::Text, 4),
        "remora_args" => (Kind::Args, 4),
        "remora_path" => (Kind::Path, 4),
        "remora_histogram_ns" => (Kind::Histogram(histogram(10, 1e9, "seconds")), HISTOGRAM_SIZE),
        "remora_histogram_bytes" => (Kind::Histogram(histogram(0, 1.0, "bytes")), HISTOGRAM_SIZE),
        _ => return None,
    })
}

fn histogram(first: u32, per_unit: f64, unit: &'static str) -> Histogram {
    Histogram { buckets: HISTOGRAM_SIZE / 8 - 1, first, per_unit, unit }
}

fn integer(ty: &BtfType<'_>) -> Result<(Kind, usize), String> {
    let int = types::Int::try_from(*ty).map_err(|_| "not an integer")?;
    let size = size_of(ty)?;
    let whole = usize::from(int.bits) == size * 8 || matches!(int.encoding, types::IntEncoding::Bool);
    if int.offset != 0 || !whole {
        return Err(format!("bit field {}", name_of(ty)));
    }
    if size > 8 {
        return Err(format!("integer {} of {size} bytes", name_of(ty)));
    }
    let kind = match int.encoding {
        types::IntEncoding::Bool => Kind::Bool,
        types::IntEncoding::Signed => Kind::Signed,
        _ => Kind::Unsigned,
    };
    Ok((kind, size))
}

fn enumeration(ty: &BtfType<'_>) -> Result<(Kind, usize), String> {
    let size = size_of(ty)?;
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(format!("enum {} of {size} bytes", name_of(ty)));
    }
    if size == 8 && ty.kind() == BtfKind::Enum {
        return Err(format!(
            "enum {}: the compiler cut its 64-bit values; clang does not from 15 on",
            name_of(ty)
        ));
    }
    let own = enumerators(ty).ok_or("not an enum")?;
    let running = kernel::enumerators(&name_of(ty)).filter(|theirs| is_same(&own, theirs));
    let mask = u64::MAX >> (64 - 8 * size);
    let mut names = running.unwrap_or(own);
    names.iter_mut().for_each(|(value, _)| *value &= mask);
    let names = Arc::new(Names(names));
    Ok((Kind::Enum(names), size))
}

/// An enumerator's name stands for one thing in C: two enums that share one are the same, of two kernels. A
/// tracer's own enum that only happens to be called like one of the kernel's shares none.
fn is_same(own: &[(u64, String)], theirs: &[(u64, String)]) -> bool {
    own.iter().any(|(_, name)| theirs.iter().any(|(_, n)| n == name))
}

/// Values and names.
pub fn enumerators(ty: &BtfType<'_>) -> Option<Vec<(u64, String)>> {
    let name = |n: Option<&std::ffi::OsStr>| n.unwrap_or_default().to_string_lossy().into_owned();
    if let Ok(e) = types::Enum::try_from(*ty) {
        return Some(e.iter().map(|m| (m.value as u64, name(m.name))).collect());
    }
    let e = types::Enum64::try_from(*ty).ok()?;
    Some(e.iter().map(|m| (m.value as u64, name(m.name))).collect())
}

/// An array whose element is named char is a string; no other array is shown.
fn array(ty: &BtfType<'_>) -> Result<(Kind, usize), String> {
    let array = types::Array::try_from(*ty).map_err(|_| "not an array")?;
    let element = array.contained_type();
    if name_of(&element) != "char" {
        return Err(format!("array of {} ({:?})", name_of(&element), element.kind()));
    }
    Ok((Kind::Chars, array.capacity()))
}

fn name_of(ty: &BtfType<'_>) -> String {
    ty.name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Size in bytes, through typedefs.
pub fn size_of(ty: &BtfType<'_>) -> Result<usize, String> {
    let ty = ty.skip_mods_and_typedefs();
    if let Ok(array) = types::Array::try_from(ty) {
        let whole = size_of(&array.contained_type())?.checked_mul(array.capacity());
        return whole.ok_or_else(|| "array larger than memory".to_owned());
    }
    macro_rules! size {
        ($($kind:ident),*) => {
            $(if let Ok(t) = types::$kind::try_from(ty) { return Ok(t.size()); })*
        };
    }
    size!(Struct, Union, Int, Enum, Enum64);
    Err(format!("{:?} {} has no size", ty.kind(), name_of(&ty)))
}
