//! Through io_uring, by its system calls and shared memory alone.

use std::{
    io::Error,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{say, text};

/// struct io_uring_sqe, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Entry {
    operation: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    operation_flags: u32,
    user_data: u64,
    _buffer: u16,
    _personality: u16,
    file_index: u32,
    _rest: [u64; 2],
}

/// struct io_uring_params: what is asked, the features, where things are in the rings.
#[repr(C)]
#[derive(Default)]
struct Params {
    entries: [u32; 2],
    flags: u32,
    _threads: [u32; 2],
    features: u32,
    _fd: u32,
    _reserved: [u32; 3],
    submissions: Offsets,
    completions: Offsets,
}

#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    mask: u32,
    _entries: u32,
    /// Flags of the one ring, overflows of the other.
    _more: u32,
    /// Dropped of the one ring, completions of the other.
    fifth: u32,
    /// Indices of the one ring, flags of the other.
    sixth: u32,
    _last: [u32; 3],
}

struct Ring {
    fd: i32,
    params: Params,
    rings: *mut u8,
    entries: *mut Entry,
}

const SIZE: usize = 4096;
const ENTRIES: i64 = 0x1000_0000;
const GET_EVENTS: u32 = 1;
const SKIPS_COMPLETIONS: u32 = 1 << 11;

fn map(fd: i32, offset: i64) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory, shared with the kernel.
    let at = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, libc::MAP_SHARED, fd, offset) };
    assert_ne!(at, libc::MAP_FAILED, "{}", Error::last_os_error());
    at.cast()
}

impl Ring {
    fn new() -> Result<Self, Error> {
        let mut params = Params::default();
        // SAFETY: the parameters are the kernel's to fill in.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, &raw mut params) };
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        let fd = fd as i32;
        Ok(Self { fd, params, rings: map(fd, 0), entries: map(fd, ENTRIES).cast() })
    }

    fn at(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: within the rings, by the kernel's own word, and shared with it.
        unsafe { AtomicU32::from_ptr(self.rings.add(offset as usize).cast()) }
    }

    /// Puts requests into the ring, one behind the other, and waits until so many completed.
    fn enter(&self, requests: Vec<Entry>, completions: u32) {
        let (count, ring) = (requests.len() as u32, &self.params.submissions);
        for request in requests {
            let tail = self.at(ring.tail).load(Ordering::Relaxed);
            let index = tail & self.at(ring.mask).load(Ordering::Relaxed);
            // SAFETY: one of the eight entries, which the kernel reads only after the tail has moved.
            unsafe { self.entries.add(index as usize).write(request) };
            self.at(ring.sixth + 4 * index).store(index, Ordering::Relaxed);
            self.at(ring.tail).store(tail + 1, Ordering::Release);
        }
        // SAFETY: what the requests point to outlives them, since they are waited for.
        let entered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd,
                count,
                completions,
                GET_EVENTS,
                ptr::null::<u8>(),
                0,
            )
        };
        assert_eq!(entered, i64::from(count), "{}", Error::last_os_error());
    }

    /// The next completion: user_data and result.
    fn completion(&self) -> (u64, i64) {
        let ring = &self.params.completions;
        let head = self.at(ring.head).load(Ordering::Relaxed);
        assert_ne!(head, self.at(ring.tail).load(Ordering::Acquire), "nothing completed");
        let index = head & self.at(ring.mask).load(Ordering::Relaxed);
        // SAFETY: user_data, result and flags, which are the program's until the head moves.
        let (user_data, result) = unsafe {
            let at = self.rings.add((ring.fifth + 16 * index) as usize);
            (at.cast::<u64>().read(), at.add(8).cast::<i32>().read())
        };
        self.at(ring.head).store(head + 1, Ordering::Release);
        (user_data, result.into())
    }

    fn done(&self, request: Entry) -> i64 {
        self.enter(vec![request], 1);
        self.completion().1
    }
}

/// IORING_OP_...
const READ: u8 = 22;
const WRITE: u8 = 23;
const OPENAT: u8 = 18;
const OPENAT2: u8 = 28;
const RENAMEAT: u8 = 35;
const UNLINKAT: u8 = 36;
const MKDIRAT: u8 = 37;
const SYMLINKAT: u8 = 38;
const LINKAT: u8 = 39;
/// IOSQE_...
const ASYNC: u8 = 1 << 4;
const SKIP: u8 = 1 << 6;

fn request(operation: u8, fd: i32, name: &std::ffi::CStr) -> Entry {
    Entry { operation, fd, address: name.as_ptr() as u64, ..Entry::default() }
}

const CREATE: u32 = (libc::O_CREAT | libc::O_RDWR) as u32;

/// Requests to open, one after the other.
fn opens(ring: &Ring, dir: &str) -> i32 {
    let (a, gone) = (text(&format!("{dir}/a")), text(&format!("{dir}/gone")));
    let create = Entry { len: 0o640, operation_flags: CREATE, ..request(OPENAT, libc::AT_FDCWD, &a) };
    let fd = ring.done(create);
    say(&format!("open {dir}/a created fd={fd}"), fd);
    let how = [libc::O_RDONLY as u64, 0, 0];
    let two = Entry { len: 24, offset: how.as_ptr() as u64, ..request(OPENAT2, libc::AT_FDCWD, &a) };
    let second = ring.done(two);
    say(&format!("open {dir}/a fd={second}"), second);
    let missing = ring.done(request(OPENAT, libc::AT_FDCWD, &gone));
    say(&format!("open {dir}/gone fd=-1"), missing);
    let by_worker = ring.done(Entry { flags: ASYNC, ..request(OPENAT, libc::AT_FDCWD, &a) });
    say(&format!("open {dir}/a fd={by_worker}"), by_worker);
    fd as i32
}

/// Two under way at the same time, of which the second is what the first is not.
fn both(ring: &Ring, dir: &str) {
    let (a, gone) = (text(&format!("{dir}/a")), text(&format!("{dir}/gone")));
    let one = Entry { user_data: 1, ..request(OPENAT, libc::AT_FDCWD, &a) };
    let two = Entry { user_data: 2, ..request(OPENAT, libc::AT_FDCWD, &gone) };
    ring.enter(vec![one, two], 2);
    for _ in 0..2 {
        match ring.completion() {
            (1, fd) => say(&format!("open {dir}/a fd={fd}"), fd),
            (_, error) => say(&format!("open {dir}/gone fd=-1"), error),
        }
    }
}

fn changes(ring: &Ring, dir: &str) {
    // SAFETY: a name that outlives the call.
    let root = unsafe { libc::open(text(dir).as_ptr(), libc::O_DIRECTORY) };
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(text);
    let to = |name: &std::ffi::CStr| name.as_ptr() as u64;
    let mkdir = Entry { len: 0o711, ..request(MKDIRAT, root, &d) };
    say(&format!("mkdir {dir}/d 0711"), ring.done(mkdir));
    let symlink = Entry { offset: to(&c), ..request(SYMLINKAT, root, &a) };
    say(&format!("symlink {dir}/c a"), ring.done(symlink));
    let link = Entry { len: root as u32, offset: to(&b), ..request(LINKAT, root, &a) };
    say(&format!("link {dir}/a {dir}/b"), ring.done(link));
    let rename =
        Entry { len: root as u32, offset: to(&e), operation_flags: 1, ..request(RENAMEAT, root, &b) };
    say(&format!("rename {dir}/b {dir}/e RENAME_NOREPLACE"), ring.done(rename));
    for name in [&b, &c, &e, &a] {
        let shown = name.to_string_lossy().into_owned();
        say(&format!("unlink {dir}/{shown}"), ring.done(request(UNLINKAT, root, name)));
    }
    let rmdir = Entry { operation_flags: libc::AT_REMOVEDIR as u32, ..request(UNLINKAT, root, &d) };
    say(&format!("unlink {dir}/d directory"), ring.done(rmdir));
}

/// What completes without a word, and what has a name too long to be kept.
fn untold(ring: &Ring, dir: &str) {
    let long = format!("{dir}/{}a", "./".repeat(1500));
    let name = text(&long);
    ring.done(request(OPENAT, libc::AT_FDCWD, &name));
    say(&format!("open {long} pending fd=-1"), 0);
    if ring.params.features & SKIPS_COMPLETIONS != 0 {
        let name = text(&format!("{dir}/a"));
        ring.enter(vec![Entry { flags: SKIP, ..request(OPENAT, libc::AT_FDCWD, &name) }], 0);
        say(&format!("open {dir}/a pending fd=-1"), 0);
    }
}

pub fn run(dir: &str) {
    let ring = match Ring::new() {
        Ok(ring) => ring,
        Err(e) => return println!("no io_uring: {}", e.raw_os_error().expect("an error")),
    };
    let fd = opens(&ring, dir);
    let data = [7u8; 12_345];
    let write =
        Entry { operation: WRITE, fd, address: data.as_ptr() as u64, len: 12_345, ..Entry::default() };
    assert_eq!(ring.done(write), 12_345);
    let mut back = [0u8; 12_345];
    let address = back.as_mut_ptr() as u64;
    let read = Entry { operation: READ, fd, address, len: 12_345, ..Entry::default() };
    assert_eq!(ring.done(read), 12_345);
    both(&ring, dir);
    untold(&ring, dir);
    changes(&ring, dir);
}
