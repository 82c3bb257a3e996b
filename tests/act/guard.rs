//! Acts that bear on security, by system calls alone: one line for each that `guard` must tell, with its result.

use std::arch::asm;

fn syscall(number: usize, args: &[usize]) -> isize {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    let result;
    // SAFETY: what the arguments point to outlives the call, and no call given here changes memory that Rust
    // believes to be constant; a fork's child calls only exit_group and pause.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") arg(0), in("rsi") arg(1), in("rdx") arg(2),
            in("r10") arg(3), in("r8") arg(4), in("r9") arg(5), lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// The same by the 32-bit table.
fn syscall_32(number: usize, first: usize, second: usize) -> isize {
    let result: usize;
    // SAFETY: as above; rbx is given back as it was.
    unsafe {
        asm!("xchg {first}, rbx", "int 0x80", "xchg {first}, rbx", first = inout(reg) first => _,
            inlateout("rax") number => result, in("rcx") second, in("rdx") 0, in("rsi") 0, in("rdi") 0,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    result as u32 as i32 as isize
}

fn say(name: &str, result: isize) -> isize {
    println!("{name} {result}");
    result
}

/// A call that must be told.
fn told(name: &str, number: usize, args: &[usize]) -> isize {
    say(name, syscall(number, args))
}

/// One that is told only if it fails: it changes nothing.
fn idle(name: &str, number: usize, args: &[usize]) {
    let result = syscall(number, args);
    if result < 0 {
        say(name, result);
    }
}

/// One of which nothing may be told.
fn quiet(number: usize, args: &[usize]) -> isize {
    syscall(number, args)
}

const AT_FDCWD: usize = -100isize as usize;
const NONE: usize = -1isize as usize;
const SIGCHLD: usize = 17;
const CLONE_NEWUTS: usize = 0x0400_0000;

fn at(text: &[u8]) -> usize {
    assert_eq!(text.last(), Some(&0), "no C string");
    text.as_ptr() as usize
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of) as usize
}

fn open(path: &[u8], flags: usize) -> usize {
    quiet(257, &[AT_FDCWD, at(path), flags, 0o600]) as usize
}

pub fn run() {
    mounts();
    roots();
    namespaces();
    processes();
    files();
    modules();
    sockets();
    doors();
    in_32_bits();
    credentials();
}

fn mounts() {
    let m = at(b"/tmp/m\0");
    quiet(83, &[m, 0o700]);
    told("mount", 165, &[at(b"none\0"), m, at(b"tmpfs\0"), 6, at(b"size=64k\0")]);
    let context = told("fsopen", 430, &[at(b"tmpfs\0")]) as usize;
    told("fsconfig", 431, &[context, 1, at(b"size\0"), at(b"64k\0")]);
    told("fsconfig", 431, &[context, 6]);
    let mount = told("fsmount", 432, &[context, 0, 2]) as usize;
    told("move_mount", 429, &[mount, at(b"\0"), AT_FDCWD, m, 4]);
    let attributes: [u64; 4] = [1, 4, 0, 0];
    told("mount_setattr", 442, &[AT_FDCWD, m, 0x100, address(&attributes), 32]);
    told("open_tree", 428, &[AT_FDCWD, m, 1]);
    told("umount2", 166, &[m, 2]);
    told("umount2", 166, &[m, 2]);
    told("umount2", 166, &[m, 0]);
}

fn roots() {
    told("chroot", 161, &[at(b"/\0")]);
    told("chroot", 161, &[at(b"nowhere\0")]);
    told("pivot_root", 155, &[at(b"/tmp\0"), at(b"/tmp/m\0")]);
}

/// A process that waits for a signal, or ends at once.
fn child(name: &str, flags: usize, waits: bool) -> usize {
    let pid = quiet(56, &[flags | SIGCHLD]);
    if pid == 0 && waits {
        quiet(34, &[]);
    }
    if pid == 0 {
        quiet(231, &[0]);
    }
    if flags != 0 {
        say(name, pid);
    }
    pid as usize
}

fn wait(pid: usize) {
    quiet(61, &[pid, 0, 0, 0]);
}

fn namespaces() {
    told("unshare", 272, &[CLONE_NEWUTS]);
    quiet(272, &[0x200]);
    let own = open(b"/proc/self/ns/uts\0", 0);
    told("setns", 308, &[own, 0]);
    told("setns", 308, &[NONE, 0]);
    let me = quiet(434, &[std::process::id() as usize, 0]) as usize;
    told("setns", 308, &[me, CLONE_NEWUTS]);
    wait(child("clone", CLONE_NEWUTS, false));
    wait(child("clone", 0, false));
    let clone: [u64; 8] = [0x0800_0000, 0, 0, 0, SIGCHLD as u64, 0, 0, 0];
    let pid = quiet(435, &[address(&clone), 64]);
    if pid == 0 {
        quiet(231, &[0]);
    }
    wait(say("clone3", pid) as usize);
}

fn processes() {
    let pid = child("clone", 0, true);
    told("ptrace", 101, &[0x4206, pid]);
    quiet(101, &[0x4207, pid]); // PTRACE_INTERRUPT: going on
    quiet(62, &[pid, 9]);
    wait(pid);
    told("ptrace", 101, &[16, 999_999]);
    let me = std::process::id() as usize;
    let (mut from, mut to) = ([7u8; 16], [0u8; 16]);
    let (from, to) = (from.as_mut_ptr() as usize, to.as_mut_ptr() as usize);
    let (local, remote) = ([to, 16], [from, 16]);
    told("process_vm_readv", 310, &[me, address(&local), 1, address(&remote), 1, 0]);
    told("process_vm_writev", 311, &[me, address(&remote), 1, address(&local), 1, 0]);
    let pidfd = quiet(434, &[me, 0]) as usize;
    told("pidfd_getfd", 438, &[pidfd, 1, 0]);
    let memory = told("openat", 257, &[AT_FDCWD, at(b"/proc/self/mem\0"), 2]) as usize;
    told("pwrite64", 18, &[memory, from, 3, to]);
    quiet(17, &[memory, to, 3, from]);
}

fn files() {
    let pattern = b"/proc/sys/kernel/core_pattern\0";
    let mut before = [0u8; 256];
    let len = quiet(0, &[open(pattern, 0), before.as_mut_ptr() as usize, 255]) as usize;
    // What was there is written back, where it can be opened.
    let fd = told("openat", 257, &[AT_FDCWD, at(pattern), 1]);
    let again = told("open", 2, &[at(pattern), 1]);
    if fd >= 0 {
        told("write", 1, &[fd as usize, before.as_ptr() as usize, len]);
        let vector = [before.as_ptr() as usize, len];
        told("writev", 20, &[again as usize, address(&vector), 1]);
    }
    told("openat", 257, &[AT_FDCWD, at(b"/sys/kernel/nothing\0"), 1]);
    quiet(80, &[at(b"/proc/sys/kernel\0")]);
    told("openat", 257, &[AT_FDCWD, at(b"nothing\0"), 2]);
    quiet(80, &[at(b"/\0")]);
    let how: [u64; 3] = [1, 0, 0];
    told("openat2", 437, &[AT_FDCWD, at(b"tmp/../proc/sys/nothing\0"), address(&how), 24]);
    told("creat", 85, &[at(b"/nowhere/release_agent\0"), 0o600]);
    // Near, and nothing: other files, reading, a directory.
    let other = open(b"/tmp/release_agent.txt\0", 0o102);
    quiet(1, &[other, before.as_ptr() as usize, len]);
    for path in [&b"/proc/self/status\0"[..], b"/proc/sys/kernel/nothing\0", b"/sys/nothing\0", b"/proc\0"] {
        open(path, 0);
    }
    open(b"/proc/self/comm\0", 1);
    open(b"/tmp/mem\0", 0o102);
    open(b"/nowhere/else\0", 1);
}

fn modules() {
    let bogus = *b"no module";
    told("init_module", 175, &[address(&bogus), 9, at(b"a=b\0")]);
    let file = open(b"/etc/passwd\0", 0);
    told("finit_module", 313, &[file, at(b"c=d\0"), 2]);
    told("delete_module", 176, &[at(b"no_such_module\0"), 0]);
}

fn sockets() {
    told("socket", 41, &[2, 3, 1]);
    told("socket", 41, &[17, 0x80002, 0x0008]);
    told("socket", 41, &[38, 5, 0]);
    for (family, kind) in [(2, 1), (2, 2), (16, 3), (1, 3), (10, 2)] {
        quiet(41, &[family, kind, 0]);
    }
}

/// bpf, perf_event_open, keys, memory files and the rest.
fn doors() {
    let mut attributes = [0u64; 16];
    attributes[0] = 1; // a socket filter, without instructions
    told("bpf", 321, &[5, address(&attributes), 128]);
    told("bpf", 321, &[1, address(&attributes), 128]);
    attributes[0] = 1 | 64 << 32; // PERF_TYPE_SOFTWARE
    told("perf_event_open", 298, &[address(&attributes), 0, NONE, NONE, 0]);
    told("add_key", 248, &[at(b"user\0"), at(b"remora\0"), at(b"x\0"), 1, -2isize as usize]);
    told("request_key", 249, &[at(b"user\0"), at(b"remora-none\0"), 0, 0]);
    told("keyctl", 250, &[0, -2isize as usize, 0]);
    told("memfd_create", 319, &[at(b"remora\0"), 3]);
    told("memfd_create", 319, &[at(b"\0"), 1 << 20]);
    told("userfaultfd", 323, &[1]);
    let mut ring = [0u64; 15];
    told("io_uring_setup", 425, &[1, ring.as_mut_ptr() as usize]);
    told("open_by_handle_at", 304, &[AT_FDCWD, address(&attributes), 0]);
    told("iopl", 172, &[4]);
    told("reboot", 169, &[0, 0, 0]);
    told("swapon", 167, &[at(b"/tmp/m\0"), 0]);
    told("prctl", 157, &[8, 1]);
    told("prctl", 157, &[24, 63]);
    told("seccomp", 317, &[1, 0, 0]);
    told("prctl", 157, &[22, 2, 0]);
    quiet(157, &[15, at(b"somebody\0")]); // PR_SET_NAME
    quiet(157, &[47, 1, 0]); // PR_CAP_AMBIENT_IS_SET
    quiet(317, &[2, 0, address(&attributes)]); // SECCOMP_GET_ACTION_AVAIL
    quiet(317, &[7, 0, 0]);
}

fn in_32_bits() {
    say("i386:unshare", syscall_32(310, CLONE_NEWUTS, 0));
    // MAP_32BIT: 32-bit calls need what they point to in the lower half.
    let low = quiet(9, &[0, 4096, 3, 0x62, NONE, 0]) as usize;
    // SAFETY: just mapped, of a page.
    unsafe { std::ptr::copy_nonoverlapping([2u32, 3, 1].as_ptr(), low as *mut u32, 3) };
    say("i386:socketcall", syscall_32(102, 1, low));
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping([2u32, 1, 0].as_ptr(), low as *mut u32, 3) };
    syscall_32(102, 1, low);
}

fn credentials() {
    let none = NONE;
    told("setgroups", 116, &[1, address(&5u32)]);
    told("setresgid", 119, &[100, 100, 100]);
    idle("setgid", 106, &[100]);
    told("setresuid", 117, &[none, 200, none]);
    match quiet(107, &[]) {
        0 => idle("setresuid", 117, &[none, 0, none]),
        _ => drop(told("setresuid", 117, &[none, 0, none])),
    }
    let (header, nothing) = ([0x2008_0522u32, 0], [0u32; 6]);
    told("capset", 126, &[address(&header), address(&nothing)]);
    let mount_again = [1u32 << 21, 1 << 21, 0, 0, 0, 0];
    told("capset", 126, &[address(&header), address(&mount_again)]);
    idle("setreuid", 113, &[0, 0]);
    told("setresuid", 117, &[200, 200, 200]);
}
