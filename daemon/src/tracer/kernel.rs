//! What the running kernel says of itself: names of its enums' values, which may have moved since a tracer was
//! compiled, and which kinds of programs it can take at all.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::CString,
    fs,
    marker::PhantomData,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    rc::Rc,
    sync::{Mutex, OnceLock, PoisonError},
};

use libbpf_rs::{
    AsRawLibbpf,
    btf::{Btf, BtfType, TypeId},
};

use super::kind;

/// Values and names of an enum.
type Enumerators = Vec<(u64, String)>;

/// What has been asked for, found or not.
static KNOWN: Mutex<Option<HashMap<String, Option<Enumerators>>>> = Mutex::new(None);

thread_local! {
    /// How many hold the kernel's BTF, and itself once somebody has looked into it.
    static HELD: RefCell<(usize, Option<Rc<Btf<'static>>>)> = const { RefCell::new((0, None)) };
}

/// The kernel's BTF is megabytes, and takes milliseconds to parse: it is parsed once for all that this thread asks
/// while it holds this. Then it is let go, and what it and libbpf's loading took goes back to the system.
#[derive(Debug)]
pub struct Hold(PhantomData<*const ()>);

pub fn hold() -> Hold {
    HELD.with_borrow_mut(|(holders, _)| *holders += 1);
    Hold(PhantomData)
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|(holders, btf)| {
            *holders -= 1;
            if *holders == 0 {
                *btf = None;
                // SAFETY: gives free memory back to the kernel.
                unsafe { libc::malloc_trim(0) };
            }
        });
    }
}

fn btf() -> Option<Rc<Btf<'static>>> {
    HELD.with_borrow_mut(|(holders, held)| {
        if let Some(btf) = held {
            return Some(btf.clone());
        }
        let btf = Rc::new(Btf::from_vmlinux().ok()?);
        if *holders > 0 {
            *held = Some(btf.clone());
        }
        Some(btf)
    })
}

/// Id of the type of this kind (`BTF_KIND_*`) and name.
fn find(btf: &Btf<'_>, name: &str, kind: u32) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: both pointers are valid for the call.
    let id =
        unsafe { libbpf_sys::btf__find_by_name_kind(btf.as_libbpf_object().as_ptr(), name.as_ptr(), kind) };
    u32::try_from(id).ok()
}

/// Values and names of the running kernel's enum of this name.
pub fn enumerators(name: &str) -> Option<Enumerators> {
    if name.is_empty() {
        return None;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.entry(name.to_owned()).or_insert_with(|| read(name)).clone()
}

fn read(name: &str) -> Option<Enumerators> {
    let btf = btf()?;
    let kinds = [libbpf_sys::BTF_KIND_ENUM, libbpf_sys::BTF_KIND_ENUM64];
    let found = kinds.into_iter().find_map(|kind| find(&btf, name, kind));
    kind::enumerators(&btf.type_by_id::<BtfType<'_>>(TypeId::from(found?))?)
}

/// Why this kernel cannot take a program of this section, whatever is in it, as far as that can be told without trying.
pub fn refuses(section: &str) -> Option<String> {
    let (kind, at) = section.split_once('/').unwrap_or((section, ""));
    match kind {
        "fentry" | "fexit" | "fmod_ret" if !knows(at, libbpf_sys::BTF_KIND_FUNC) => {
            Some(format!("this kernel has no function {at}"))
        }
        "fentry" | "fexit" | "fmod_ret" | "lsm" => trampolines().clone().err(),
        "tp_btf" if !knows(&format!("btf_trace_{at}"), libbpf_sys::BTF_KIND_TYPEDEF) => {
            Some(format!("this kernel has no tracepoint {at}"))
        }
        "kprobe" | "kretprobe" if !Path::new(KPROBES).exists() => Some("this kernel has no kprobes".into()),
        _ => None,
    }
}

/// Whether the kernel or one of its modules has a type of this name. If nobody can tell, it may have.
fn knows(name: &str, kind: u32) -> bool {
    btf().is_none_or(|btf| find(&btf, name, kind).is_some()) || in_a_module(name)
}

/// Names stand in the modules' BTF between zeros. Modules come and go, so this is looked up each time.
fn in_a_module(name: &str) -> bool {
    let name = [b"\0", name.as_bytes(), b"\0"].concat();
    let modules = fs::read_dir(BTF).into_iter().flatten().flatten().filter(|e| e.file_name() != "vmlinux");
    let mut texts = modules.filter_map(|module| fs::read(module.path()).ok());
    texts.any(|text| text.windows(name.len()).any(|at| at == name))
}

const BTF: &str = "/sys/kernel/btf";
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";
/// A function that each kernel with trampolines keeps for trying them.
const TRIED: &str = "bpf_fentry_test1";

/// Whether programs may be attached to functions: kernels that are locked down load them, and refuse to.
fn trampolines() -> &'static Result<(), String> {
    static TAKEN: OnceLock<Result<(), String>> = OnceLock::new();
    TAKEN.get_or_init(|| {
        let Some(id) = btf().and_then(|btf| find(&btf, TRIED, libbpf_sys::BTF_KIND_FUNC)) else {
            return Ok(());
        };
        try_trampoline(id).map_err(|e| format!("this kernel refuses trampolines: {e}"))
    })
}

/// Loads and attaches a program that returns at once.
fn try_trampoline(function: u32) -> Result<(), std::io::Error> {
    let instruction = |code, dst| {
        let mut insn = libbpf_sys::bpf_insn { code, ..Default::default() };
        insn.set_dst_reg(dst);
        insn
    };
    // r0 = 0; exit
    let program = [instruction(0xb7, 0), instruction(0x95, 0)];
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        expected_attach_type: libbpf_sys::BPF_TRACE_FENTRY,
        attach_btf_id: function,
        ..Default::default()
    };
    let own = |fd: i32| {
        if fd < 0 {
            return Err(std::io::Error::from_raw_os_error(-fd));
        }
        // SAFETY: a descriptor that was just made, and is nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // SAFETY: all pointers are valid for the call, and the count is that of the array.
    let loaded = own(unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_TRACING,
            c"remora_try".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as _,
            &mut options,
        )
    })?;
    // SAFETY: no name: the program says where it attaches.
    own(unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), loaded.as_raw_fd()) }).map(drop)
}
