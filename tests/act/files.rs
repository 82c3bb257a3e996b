//! `act files DIR`, `act files DIR ring`: makes and changes files in a folder in all the ways there are, by system
//! calls or through io_uring; prints what was done as an event has it: name, paths, what else it says, and the error.

mod calls;
mod calls_32;
mod ring;

use std::ffi::CString;

pub fn run(args: &[String]) {
    match args {
        [dir] => {
            calls::run(dir);
            calls_32::run(dir);
        }
        [dir, how] if how == "ring" => ring::run(dir),
        _ => panic!("what is to be done: {args:?}?"),
    }
}

/// What stands behind a call's result.
fn error(result: i64) -> &'static str {
    match -result as i32 {
        ..=0 => "",
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EBADF => "EBADF",
        libc::EFAULT => "EFAULT",
        libc::EEXIST => "EEXIST",
        libc::ENOTDIR => "ENOTDIR",
        libc::EINVAL => "EINVAL",
        libc::ENOSYS => "ENOSYS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ECANCELED => "ECANCELED",
        other => panic!("no name for error {other}"),
    }
}

fn say(what: &str, result: i64) {
    println!("{}", format!("{what} {}", error(result)).trim_end());
}

fn text(path: &str) -> CString {
    CString::new(path).expect("no NUL")
}
