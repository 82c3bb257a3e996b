use std::{env, process::ExitCode};

fn main() -> ExitCode {
    // What aborts when it panics was linked without unwind tables, and looking for a backtrace without them aborts, too:
    // with these set by whoever, each error would.
    if cfg!(panic = "abort") {
        for name in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
            // SAFETY: there is no other thread yet.
            unsafe { env::set_var(name, "0") };
        }
    }
    remora::cli::main()
}
