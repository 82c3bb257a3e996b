//! `[managers.nri]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::HookCall;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub enabled: bool,
    pub socket: PathBuf,
    /// Plugins are asked in the order of their index, two digits.
    pub index: String,
    /// The hook to add, as the runtime finds it; without one, the binary beside the daemon's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, socket: "/var/run/nri/nri.sock".into(), index: "10".into(), hook: None }
    }
}

impl Settings {
    /// What is wrong with the index, if anything.
    pub fn check_index(&self) -> Result<(), String> {
        match self.index.as_bytes() {
            [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => Ok(()),
            _ => Err(format!("is {:?}, must be two digits", self.index)),
        }
    }

    /// The hook's call. Of the hook's options only those are said that differ from what it takes for granted.
    pub fn hook_call(&self, socket: &Path, spool: &Path) -> HookCall {
        let beside = || {
            let daemon = std::env::current_exe().unwrap_or_else(|_| "/usr/local/bin/remora".into());
            daemon.with_file_name("remora-hook")
        };
        let paths =
            [("--socket", socket, remora_wire::HOOK_SOCKET), ("--spool", spool, remora_wire::SPOOL_DIR)];
        let unusual = paths.into_iter().filter(|(_, path, usual)| *path != Path::new(usual));
        let options = unusual.flat_map(|(option, path, _)| [option.to_owned(), path.display().to_string()]);
        HookCall::new(self.hook.clone().unwrap_or_else(beside), options.collect())
    }
}
