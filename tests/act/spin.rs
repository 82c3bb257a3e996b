//! `act spin HOW FILE`: keeps a processor busy in a function of that name until FILE is there; `stuck` and `jit` run
//! code that is in no file, which `stuck` describes in a pipe that nobody writes to.

use std::{
    fs,
    hint::black_box,
    io::Read,
    path::{Path, PathBuf},
};

const ROUNDS: u64 = 20_000_000;

pub fn run(args: &[String]) {
    let work: fn() = match args[0].as_str() {
        "alpha" => spin_alpha,
        "beta" => spin_beta,
        "zero" => spin_zero,
        "jit" => {
            let (code, map) = compiled();
            fs::write(map, format!("{code:x} 1000 spin_compiled\n")).expect("failed to write the map");
            return follow(code, &args[1]);
        }
        "stuck" => {
            let (code, map) = compiled();
            let path = std::ffi::CString::new(map.into_os_string().into_encoded_bytes()).expect("a path");
            // SAFETY: the path is a string of C's.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "no pipe");
            return follow(code, &args[1]);
        }
        other => panic!("how to spin {other:?}?"),
    };
    while !Path::new(&args[1]).exists() {
        work();
    }
}

#[inline(never)]
fn spin_alpha() {
    let mut sum = 0u64;
    for i in 0..ROUNDS {
        sum = black_box(sum ^ i);
    }
}

#[inline(never)]
fn spin_beta() {
    let mut sum = 1u64;
    for i in 0..ROUNDS {
        sum = black_box(sum.wrapping_mul(i | 1));
    }
}

#[inline(never)]
fn spin_zero() {
    let mut zero = fs::File::open("/dev/zero").expect("no /dev/zero");
    let mut page = vec![0; 64 << 10];
    for _ in 0..2000 {
        zero.read_exact(black_box(&mut page)).expect("no zeros");
    }
}

/// Code as a compiler at run time makes it, which counts down from what it is given, and where perf looks for its
/// names.
fn compiled() -> (usize, PathBuf) {
    #[cfg(target_arch = "x86_64")]
    // mov rax, rdi; 1: dec rax; jnz 1b; ret
    const CODE: &[u8] = &[0x48, 0x89, 0xf8, 0x48, 0xff, 0xc8, 0x75, 0xfb, 0xc3];
    #[cfg(target_arch = "aarch64")]
    // 1: subs x0, x0, #1; b.ne 1b; ret
    const CODE: &[u8] = &[0, 4, 0, 0xf1, 0xe1, 0xff, 0xff, 0x54, 0xc0, 3, 0x5f, 0xd6];
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, written within its bounds.
    let code = unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 4096, all, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED, "no memory");
        std::ptr::copy_nonoverlapping(CODE.as_ptr(), at.cast(), CODE.len());
        at as usize
    };
    (code, format!("/tmp/perf-{}.map", std::process::id()).into())
}

fn follow(code: usize, file: &str) {
    // SAFETY: a function of one number that returns, made above.
    let run: extern "C" fn(u64) -> u64 = unsafe { std::mem::transmute(code) };
    while !Path::new(file).exists() {
        black_box(run(ROUNDS));
    }
}
