//! The running kernel's names for its enums' values, which may have moved since a tracer was compiled.

use std::{
    collections::HashMap,
    ffi::CString,
    sync::{Mutex, PoisonError},
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

/// Values and names of the running kernel's enum of this name. The kernel's BTF is megabytes: it is read for
/// each new name and kept for none.
pub fn enumerators(name: &str) -> Option<Enumerators> {
    if name.is_empty() {
        return None;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.entry(name.to_owned()).or_insert_with(|| read(name)).clone()
}

fn read(name: &str) -> Option<Enumerators> {
    let btf = Btf::from_vmlinux().ok()?;
    let c_name = CString::new(name).ok()?;
    let found = [libbpf_sys::BTF_KIND_ENUM, libbpf_sys::BTF_KIND_ENUM64].into_iter().find_map(|kind| {
        // SAFETY: both pointers are valid for the call.
        let id = unsafe {
            libbpf_sys::btf__find_by_name_kind(btf.as_libbpf_object().as_ptr(), c_name.as_ptr(), kind)
        };
        u32::try_from(id).ok()
    });
    kind::enumerators(&btf.type_by_id::<BtfType<'_>>(TypeId::from(found?))?)
}
