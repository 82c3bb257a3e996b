//! The kernel's ring buffer as memory: a page to say how far it was read, a page that says how far it is
//! written, and the data.

use std::{
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::*},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: u64 = 8;

#[derive(Debug)]
pub struct RingMemory {
    consumer: NonNull<AtomicU64>,
    producer: NonNull<u8>,
    page: usize,
    size: usize,
}

// SAFETY: shared memory accessed through atomics and volatile copies.
unsafe impl Send for RingMemory {}

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub enum At {
    /// Nothing yet, or a record being written.
    Nothing,
    /// A record taken back; the next stands here.
    Discarded {
        next: u64,
    },
    Record {
        len: usize,
        next: u64,
    },
}

impl RingMemory {
    pub fn new(fd: impl AsFd, size: u32) -> nix::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096) as usize;
        let size = size as usize;
        let map = |len: usize, prot, offset: usize| {
            let len = NonZeroUsize::new(len).ok_or(nix::Error::EINVAL)?;
            // SAFETY: fresh shared mappings of a ring buffer's fd, which the kernel checks against its size.
            unsafe { mmap(None, len, prot, MapFlags::MAP_SHARED, fd.as_fd(), offset as i64) }
        };
        let consumer = map(page, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0)?;
        // The data once, not twice as libbpf does: pages count towards the daemon's memory, and records are
        // copied out in any case.
        let producer = map(page + size, ProtFlags::PROT_READ, page)?;
        Ok(Self { consumer: consumer.cast(), producer: producer.cast(), page, size })
    }

    fn consumer(&self) -> &AtomicU64 {
        // SAFETY: mapped until drop, aligned to a page.
        unsafe { self.consumer.as_ref() }
    }

    /// Up to where space was given back.
    pub fn released(&self) -> u64 {
        self.consumer().load(Acquire)
    }

    pub fn release(&self, position: u64) {
        self.consumer().store(position, Release);
    }

    /// Up to where records have been reserved.
    pub fn written(&self) -> u64 {
        // SAFETY: the first word of the producer's page, mapped until drop.
        unsafe { self.producer.cast::<AtomicU64>().as_ref() }.load(Acquire)
    }

    fn data(&self, position: u64) -> NonNull<u8> {
        let at = self.page + (position as usize & (self.size - 1));
        // SAFETY: below page + size.
        unsafe { self.producer.add(at) }
    }

    pub fn at(&self, position: u64, written: u64) -> At {
        if position >= written {
            return At::Nothing;
        }
        // SAFETY: headers are aligned to 8 bytes and never wrap.
        let header = unsafe { self.data(position).cast::<AtomicU32>().as_ref() }.load(Acquire);
        if header & BUSY != 0 {
            return At::Nothing;
        }
        let len = u64::from(header & !(BUSY | DISCARD));
        let next = position + (len + HEADER).next_multiple_of(8);
        if header & DISCARD != 0 { At::Discarded { next } } else { At::Record { len: len as usize, next } }
    }

    /// Appends the record's bytes, which may continue at the ring's beginning.
    pub fn copy(&self, position: u64, len: usize, out: &mut Vec<u8>) {
        let start = (position + HEADER) as usize & (self.size - 1);
        let first = len.min(self.size - start);
        for (at, part) in [(position + HEADER, first), (position + HEADER + first as u64, len - first)] {
            // SAFETY: `part` bytes from there lie within the data; the kernel does not write to a committed
            // record before it is released, which only this process does.
            out.extend_from_slice(unsafe { std::slice::from_raw_parts(self.data(at).as_ptr(), part) });
        }
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, unmapped once.
        unsafe {
            let _ = munmap(self.consumer.cast(), self.page);
            let _ = munmap(self.producer.cast(), self.page + self.size);
        }
    }
}
