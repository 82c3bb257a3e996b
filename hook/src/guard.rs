//! A bug of ours must not kill anybody's container: the release build aborts on a panic, which a runtime
//! takes for a hook that failed.

use remora_wire::Log;
use std::process::exit;
use std::sync::atomic::{AtomicI32, Ordering};

static EXIT_CODE: AtomicI32 = AtomicI32::new(0);

/// From here on a panic is logged and ends the process with success, or as [`fail_closed`] says.
pub fn install(log: Log) {
    std::panic::set_hook(Box::new(move |panic| {
        log.error(panic);
        exit(EXIT_CODE.load(Ordering::Relaxed));
    }));
}

/// This container asked not to be started untraced.
pub fn fail_closed() {
    EXIT_CODE.store(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const CHILD: &str = "REMORA_TEST_PANIC";

    /// Runs `child` in a process of its own.
    fn code_where(required: &str) -> (Option<i32>, String) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "guard::tests::child"]).env(CHILD, required).env("LOG", &log);
        let code = command.output().unwrap().status.code();
        (code, std::fs::read_to_string(log).unwrap_or_default())
    }

    #[test]
    fn a_panic_fails_open_unless_the_container_wants_otherwise() {
        for (required, expected) in [("no", 0), ("yes", 1)] {
            let (code, log) = code_where(required);
            assert_eq!(code, Some(expected));
            assert!(log.contains("on purpose"), "{log}");
        }
    }

    #[test]
    fn child() {
        let Ok(required) = std::env::var(CHILD) else { return };
        install(Log::new("t", std::env::var_os("LOG").map(Into::into)));
        if required == "yes" {
            fail_closed();
        }
        panic!("on purpose");
    }
}
