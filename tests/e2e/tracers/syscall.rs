//! `syscall`
