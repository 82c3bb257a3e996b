//! `act maps`: makes memory executable in all the ways there are; prints each as an event has it.

use std::{
    fs::{self, File},
    os::fd::{AsRawFd, FromRawFd},
    ptr,
};

const PAGE: usize = 4096;
const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;
const RWX: i32 = RX | libc::PROT_WRITE;
const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn map(protection: i32, flags: i32, fd: i32) -> usize {
    // SAFETY: new memory, which nothing points to.
    let at = unsafe { libc::mmap(ptr::null_mut(), PAGE, protection, flags, fd, 0) };
    assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    at as usize
}

fn say(call: &str, at: usize, protection: &str, backing: &str, path: &str, error: &str) {
    println!("{call} {at} {protection} {backing} {path} {error}");
}

/// As a 32-bit program calls it.
#[cfg(target_arch = "x86_64")]
fn protect_32(at: usize) -> i64 {
    let mut result: i64 = 125;
    // SAFETY: changes how a page of our own may be used; the kernel clobbers r8 to r11 on this way.
    unsafe {
        std::arch::asm!("push rbx", "mov ebx, {at:e}", "int 0x80", "pop rbx", at = in(reg) at,
            inlateout("rax") result, in("rcx") PAGE, in("rdx") RX, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    result
}

pub fn run(args: &[String]) {
    say("mmap", map(RWX, ANONYMOUS, -1), "PROT_READ|PROT_WRITE|PROT_EXEC", "anonymous", "", "");
    say(
        "mmap",
        map(RX, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        "PROT_READ|PROT_EXEC",
        "anonymous",
        "",
        "",
    );
    // One of a kind is told, however often it comes.
    let first = map(RW, ANONYMOUS, -1);
    for i in 0..10 {
        let at = if i == 0 { first } else { map(RW, ANONYMOUS, -1) };
        // SAFETY: a page of our own.
        assert_eq!(unsafe { libc::mprotect(at as *mut _, PAGE, RX) }, 0);
    }
    say("mprotect", first, "PROT_READ|PROT_EXEC", "anonymous", "", "");
    // SAFETY: nothing is there.
    assert_eq!(unsafe { libc::mprotect(PAGE as *mut _, PAGE, RX) }, -1);
    say("mprotect", 0, "PROT_READ|PROT_EXEC", "unknown", "", "ENOMEM");
    files(args.first().is_some_and(|a| a == "upper"));
    segment();
    let low = map(RWX & !libc::PROT_EXEC, ANONYMOUS | libc::MAP_32BIT, -1);
    // SAFETY: a page of our own.
    let done = unsafe { libc::mprotect(low as *mut _, PAGE, libc::PROT_READ) };
    assert_eq!((done, protect_32(low)), (0, 0));
}

fn files(upper: bool) {
    // SAFETY: a new descriptor.
    let memory = unsafe { libc::memfd_create(c"code".as_ptr(), 0) };
    // SAFETY: of nobody else's.
    let memory = unsafe { File::from_raw_fd(memory) };
    memory.set_len(PAGE as u64).expect("failed to grow");
    let at = map(RX, libc::MAP_SHARED, memory.as_raw_fd());
    say("mmap", at, "PROT_READ|PROT_EXEC", "memfd", "/memfd:code", "");
    fs::write("/tmp/code", vec![0xc3; PAGE]).expect("failed to write");
    let file = File::options().read(true).write(true).open("/tmp/code").expect("failed to open");
    let at = map(RX, libc::MAP_PRIVATE, file.as_raw_fd());
    if upper {
        say("mmap", at, "PROT_READ|PROT_EXEC", "upper", "/tmp/code", "");
    }
    let at = map(RWX, libc::MAP_PRIVATE, file.as_raw_fd());
    say("mmap", at, "PROT_READ|PROT_WRITE|PROT_EXEC", if upper { "upper" } else { "image" }, "/tmp/code", "");
    fs::remove_file("/tmp/code").expect("failed to remove");
    let at = map(RX, libc::MAP_PRIVATE, file.as_raw_fd());
    say("mmap", at, "PROT_READ|PROT_EXEC", "deleted", "/tmp/code", "");
}

fn segment() {
    // SAFETY: a segment of our own, gone when it is let go.
    let at = unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, PAGE, libc::IPC_CREAT | 0o700);
        let at = libc::shmat(id, ptr::null(), libc::SHM_EXEC);
        libc::shmctl(id, libc::IPC_RMID, ptr::null_mut());
        at as usize
    };
    say("shmat", at, "PROT_READ|PROT_WRITE|PROT_EXEC", "sysv", "/SYSV00000000", "");
}
