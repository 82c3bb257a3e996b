//! `act spin HOW FILE`: keeps a processor busy in a function of that name until FILE is there; `jit`, `stuck` and
//! `scattered` run code that is in no file, which `stuck` describes in a pipe that nobody writes to.

use std::{
    fs,
    hint::black_box,
    io::Read,
    path::{Path, PathBuf},
};

const ROUNDS: u64 = 20_000_000;
/// Each is another place to be found at.
const STEPS: usize = 60_000;

pub fn run(args: &[String]) {
    let work: fn() = match args[0].as_str() {
        "alpha" => spin_alpha,
        "beta" => spin_beta,
        "zero" => spin_zero,
        "scattered" => return follow(compiled(STEPS).0, STEPS, &args[1]),
        "jit" => {
            let (code, map) = compiled(0);
            fs::write(map, format!("{code:x} 1000 spin_compiled\n")).expect("failed to write the map");
            return follow(code, 0, &args[1]);
        }
        "stuck" => {
            let (code, map) = compiled(0);
            let path = std::ffi::CString::new(map.into_os_string().into_encoded_bytes()).expect("a path");
            // SAFETY: the path is a string of C's.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "no pipe");
            return follow(code, 0, &args[1]);
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

/// Code as a compiler at run time makes it, which counts down from what it is given and takes so many steps each time,
/// and where perf looks for its names.
fn compiled(steps: usize) -> (usize, PathBuf) {
    let code = code(steps);
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, written within its bounds.
    let at = unsafe {
        let at = libc::mmap(std::ptr::null_mut(), code.len(), all, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED, "no memory");
        std::ptr::copy_nonoverlapping(code.as_ptr(), at.cast(), code.len());
        at as usize
    };
    (at, format!("/tmp/perf-{}.map", std::process::id()).into())
}

#[cfg(target_arch = "x86_64")]
fn code(steps: usize) -> Vec<u8> {
    // mov rax, rdi; 1: nop...; dec rax; jnz 1b; ret
    let mut code = vec![0x48, 0x89, 0xf8];
    code.resize(code.len() + steps, 0x90);
    code.extend([0x48, 0xff, 0xc8, 0x0f, 0x85]);
    code.extend((-(steps as i32 + 9)).to_le_bytes());
    code.push(0xc3);
    code
}

#[cfg(target_arch = "aarch64")]
fn code(steps: usize) -> Vec<u8> {
    // 1: nop...; subs x0, x0, #1; b.ne 1b; ret
    let back = (-(steps as i32 + 1) as u32) & 0x7_ffff;
    let mut code = vec![0xd503_201f; steps];
    code.extend([0xf100_0400, 0x5400_0001 | back << 5, 0xd65f_03c0u32]);
    code.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn follow(code: usize, steps: usize, file: &str) {
    // SAFETY: a function of one number that returns, made above.
    let run: extern "C" fn(u64) -> u64 = unsafe { std::mem::transmute(code) };
    while !Path::new(file).exists() {
        black_box(run(ROUNDS / (steps as u64 + 1)));
    }
}
