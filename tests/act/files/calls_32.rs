//! By the system calls of 32-bit programs, which have numbers and, some of them, arguments of their own.

use super::say;

/// Memory that 32-bit pointers reach, with the names one behind the other.
struct Low {
    base: usize,
    used: usize,
}

impl Low {
    fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        // SAFETY: new memory, which nothing points to.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        assert_ne!(base, libc::MAP_FAILED);
        Self { base: base as usize, used: 0 }
    }

    fn put(&mut self, text: &str) -> u64 {
        let at = self.base + self.used;
        self.used += text.len() + 1;
        assert!(self.used <= 4096, "no room");
        // SAFETY: a part of the page that nothing else has, followed by a NUL.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), at as *mut u8, text.len()) };
        at as u64
    }
}

#[cfg(target_arch = "x86_64")]
fn call(number: i64, args: [u64; 3]) -> i64 {
    let mut result = number;
    // SAFETY: names are in the lower memory, and none of the calls writes to memory; the kernel clobbers r8 to
    // r11 on this way, and rbx is given back.
    unsafe {
        std::arch::asm!("push rbx", "mov ebx, {first:e}", "int 0x80", "pop rbx", first = in(reg) args[0],
            inlateout("rax") result, in("rcx") args[1], in("rdx") args[2], out("r8") _, out("r9") _, out("r10") _,
            out("r11") _);
    }
    i64::from(result as i32)
}

pub fn run(dir: &str) {
    let mut low = Low::new();
    let a = low.put(&format!("{dir}/a"));
    let b = low.put(&format!("{dir}/b"));
    let d = low.put(&format!("{dir}/d"));
    let told = |what: &str, number, args| say(what, call(number, args));

    told(&format!("mknod {dir}/a regular 0600"), 14, [a, 0o600, 0]);
    told(&format!("chmod {dir}/a 0640"), 15, [a, 0o640, 0]);
    told(&format!("chown {dir}/a -1 2 nofollow"), 16, [a, 0xffff, 2]);
    told(&format!("chown {dir}/a 1 -1"), 182, [a, 1, 0xffff]);
    told(&format!("chown {dir}/a 70000 -1"), 212, [a, 70000, 0xffff_ffff]);
    told(&format!("chown {dir}/a 3 4 nofollow"), 198, [a, 3, 4]);
    told(&format!("mkdir {dir}/d 0700"), 39, [d, 0o700, 0]);
    told(&format!("link {dir}/a {dir}/b"), 9, [a, b, 0]);
    told(&format!("symlink {dir}/b {dir}/a"), 83, [a, b, 0]);
    told(&format!("truncate {dir}/a 4294967301"), 193, [a, 5, 1]);
    told(&format!("truncate {dir}/a 7"), 92, [a, 7, 0]);
    told(&format!("rename {dir}/a {dir}/b"), 38, [a, b, 0]);
    told(&format!("unlink {dir}/a"), 10, [a, 0, 0]);
    told(&format!("unlink {dir}/b"), 10, [b, 0, 0]);
    told(&format!("unlink {dir}/d directory"), 40, [d, 0, 0]);
}
