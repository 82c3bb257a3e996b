//! The words that `remora-hook`, `remora-runtime` and the daemon have in common: the opt-in keys,
//! where things live, and the frame that travels over the hook socket; and what both binaries need
//! to read a bundle and to leave a trace of what they did.

pub mod bundle;
pub mod fields;
pub mod frame;
pub mod log;
pub mod notice;
pub mod text;
pub mod time;

pub use bundle::{Annotations, Bundle};
pub use fields::Fields;
pub use frame::{FrameError, MAX_FRAME, read_frame, write_frame};
pub use log::Log;
pub use notice::{Ack, Namespaces, Notice, Stage};

/// Opt-in key: a comma list of tracers or groups. `io.remora.trace/NAME` names one container of a pod.
pub const KEY_TRACE: &str = "io.remora.trace";
/// `"true"`: do not start this container untraced.
pub const KEY_REQUIRED: &str = "io.remora.required";
/// What every key of ours begins with.
pub const KEY_PREFIX: &str = "io.remora.";

pub const HOOK_SOCKET: &str = "/run/remora/hook.sock";
pub const SPOOL_DIR: &str = "/var/lib/remora/spool";
/// Where hook and wrapper log when no syslog socket takes their lines.
pub const HOOK_LOG: &str = "/var/log/remora/hook.log";
/// There while a container may be wanted that does not ask by itself: by its labels, or by an administrator.
pub const ASK_FILE: &str = "/run/remora/ask";
pub const HOOK_BUDGET_MS: u64 = 500;

/// Whether an annotation or label key asks for tracing.
pub fn is_opt_in(key: &str) -> bool {
    key.strip_prefix(KEY_TRACE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether any of a container's annotations asks for tracing.
pub fn opts_in(annotations: &Annotations) -> bool {
    annotations.keys().any(|key| is_opt_in(key))
}

/// Whether the container would rather not start than start untraced.
pub fn is_required(annotations: &Annotations) -> bool {
    annotations.get(KEY_REQUIRED).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_key_and_its_per_container_form_opt_in() {
        assert!(is_opt_in("io.remora.trace"));
        assert!(is_opt_in("io.remora.trace/web"));
        assert!(!is_opt_in("io.remora.tracer"));
        assert!(!is_opt_in("io.remora.required"));
    }

    #[test]
    fn only_the_word_true_makes_it_required() {
        for (value, required) in [("true", true), ("false", false), ("True", false), ("", false)] {
            let annotations = Annotations::from([(KEY_REQUIRED.into(), value.into())]);
            assert_eq!(is_required(&annotations), required, "{value}");
        }
    }
}
