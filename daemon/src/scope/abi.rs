//! The layouts that `bpf/remora.bpf.h` shares with the daemon. Change both or neither, and then `ABI`.

use std::sync::atomic::{AtomicU32, AtomicU64};

/// `REMORA_ABI`: objects built for another one are refused, and pinned state lives in a folder of its own.
pub const ABI: u32 = 2;
/// `REMORA_SLOTS`
pub const SLOTS: u32 = 4096;
/// `REMORA_BITS`: tracers that may be loaded at a time.
pub const BITS: u32 = 64;
/// `head.tracer` of the scope's own records.
pub const TRACER_SCOPE: u32 = 0;

#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    pub cgroup: AtomicU64,
    pub container: AtomicU32,
    pub shared: AtomicU32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Container {
    pub root: AtomicU64,
    pub tracers: AtomicU64,
    pub init: AtomicU32,
    pub entering: AtomicU32,
    pub index: AtomicU32,
    pub gone: AtomicU32,
    pub escaped: AtomicU64,
    _line1: [u64; 3],
    pub produced: AtomicU64,
    pub released: AtomicU64,
    _line2: [u64; 6],
}

/// What one tracer did for one container.
#[repr(C)]
#[derive(Debug)]
pub struct Stats {
    pub counted: AtomicU64,
    pub lost_full: AtomicU64,
    pub lost_share: AtomicU64,
    pub lost_other: AtomicU64,
    pub delivered: AtomicU64,
    pub lost_budget: AtomicU64,
    /// Events a second, 0 for no bound.
    pub budget: AtomicU64,
    _window: u64,
}

/// What the reader keeps with the ring: it survives the daemon.
#[repr(C)]
#[derive(Debug)]
pub struct Reader {
    /// Ring position up to which deliveries have been counted.
    pub counted_to: AtomicU64,
    /// Records of nobody known.
    pub unattributed: AtomicU64,
    /// Tells this ring's cursors from those of the ring before; 0 until set.
    pub epoch: AtomicU64,
    /// Numbers given to loaded objects so far.
    pub numbers: AtomicU64,
    /// Cursor of the last event whose space was given back: no daemon to come can read it.
    pub given_back: AtomicU64,
    _pad: [u64; 3],
}

/// The head of each record, as copied out of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub time: u64,
    pub root: u64,
    pub container: u32,
    pub type_id: u32,
    pub tracer: u32,
    pub fixed: u32,
}

impl Head {
    pub const SIZE: usize = 32;

    pub fn read(record: &[u8]) -> Option<Self> {
        let u64_at = |at| Some(u64::from_ne_bytes(record.get(at..at + 8)?.try_into().ok()?));
        let u32_at = |at| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            time: u64_at(0)?,
            root: u64_at(8)?,
            container: u32_at(16)?,
            type_id: u32_at(20)?,
            tracer: u32_at(24)?,
            fixed: u32_at(28)?,
        })
    }
}

/// `struct remora_self`, written into an object's read-only data before it is loaded.
pub fn self_bytes(bit: u32, tracer: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&(1u64 << bit).to_ne_bytes());
    bytes[8..12].copy_from_slice(&tracer.to_ne_bytes());
    bytes[12..16].copy_from_slice(&ABI.to_ne_bytes());
    bytes[16..20].copy_from_slice(&bit.to_ne_bytes());
    bytes
}

/// An entry of `remora_current`; the values of an array map are padded.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct Current(pub AtomicU32);

const _: () = assert!(size_of::<Slot>() == 16);
const _: () = assert!(size_of::<Container>() == 128);
const _: () = assert!(std::mem::offset_of!(Container, produced) == 64);
const _: () = assert!(size_of::<Stats>() == 64);
const _: () = assert!(size_of::<Current>() == 8);
