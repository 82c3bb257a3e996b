//! `act usage BYTES`: a child touches so much memory and ends; prints its greatest resident memory in bytes, its
//! minor and its major faults.

use std::{hint::black_box, mem::zeroed};

fn touch(bytes: usize) {
    let mut memory = vec![0u8; bytes];
    memory.iter_mut().step_by(4096).for_each(|b| *b = 1);
    black_box(memory);
}

pub fn run(args: &[String]) {
    let bytes = args[0].parse().expect("no number");
    // SAFETY: the child has this one thread, and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "failed to fork");
    if child == 0 {
        touch(bytes);
        // SAFETY: nothing is left to do.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: plain data, filled by the kernel.
    let mut usage: libc::rusage = unsafe { zeroed() };
    // SAFETY: both are ours.
    let done = unsafe { libc::wait4(child, std::ptr::null_mut(), 0, &mut usage) };
    assert_eq!(done, child);
    println!("{} {} {}", usage.ru_maxrss * 1024, usage.ru_minflt, usage.ru_majflt);
}
