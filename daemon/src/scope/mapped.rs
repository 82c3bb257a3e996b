//! Array maps of the kernel, seen as memory: reading and writing them costs no system call.

use std::{marker::PhantomData, num::NonZeroUsize, ops::Deref, os::fd::AsFd, ptr::NonNull, slice};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A memory-mapped `BPF_F_MMAPABLE` array of `T`, whose fields are atomics because the kernel writes too.
#[derive(Debug)]
pub struct Mapped<T> {
    at: NonNull<T>,
    len: usize,
    _of: PhantomData<T>,
}

// SAFETY: the memory is shared with the kernel in any case; T's fields are atomics.
unsafe impl<T: Sync> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    const ELEMENT: () = assert!(size_of::<T>().is_multiple_of(8), "array maps round values up to 8 bytes");

    /// Maps the first `len` elements of the array map `fd`.
    pub fn new(fd: impl AsFd, len: usize) -> nix::Result<Self> {
        let () = Self::ELEMENT;
        let bytes = NonZeroUsize::new(len * size_of::<T>()).ok_or(nix::Error::EINVAL)?;
        // SAFETY: a fresh shared mapping of a file descriptor that the kernel checks against the length.
        let at = unsafe {
            mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, fd, 0)?
        };
        Ok(Self { at: at.cast(), len, _of: PhantomData })
    }
}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: mapped for `len` elements until drop; the kernel aligns it to a page.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: what `new` mapped, unmapped once.
        let _ = unsafe { munmap(self.at.cast(), self.len * size_of::<T>()) };
    }
}
