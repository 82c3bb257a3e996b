//! The command line. A hook that stops a node's containers over a misspelt option is worse than one that
//! runs with its defaults, so nothing here is fatal.

use remora_wire::{ASK_FILE, HOOK_BUDGET_MS, HOOK_SOCKET, SPOOL_DIR, Stage};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub const HELP: &str = "\
Tells remora's daemon about one container, as an OCI hook: the state is read as JSON from standard input.

Usage: remora-hook [OPTIONS] [--] [createRuntime|prestart|poststop]

      --socket PATH     the daemon's hook socket [/run/remora/hook.sock]
      --timeout-ms N    longest time that a container start may wait [500]
      --spool DIR       where notices go while the daemon is away [/var/lib/remora/spool]
      --ask PATH        if this is there, also ask about containers without our annotation [/run/remora/ask]
      --log PATH        log to this file instead of syslog
      --version, --help

Without a stage it follows from the state's status.
";

/// No container start is worth waiting longer for, in milliseconds.
const MAX_BUDGET_MS: u64 = 60_000;

#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    pub socket: PathBuf,
    pub budget: Duration,
    pub spool: PathBuf,
    pub ask: PathBuf,
    pub log: Option<PathBuf>,
    pub stage: Option<Stage>,
    /// Text to print instead of doing anything.
    pub answer: Option<&'static str>,
    /// What was not understood, for the log.
    pub complaints: Vec<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            socket: HOOK_SOCKET.into(),
            budget: Duration::from_millis(HOOK_BUDGET_MS),
            spool: SPOOL_DIR.into(),
            ask: ASK_FILE.into(),
            log: None,
            stage: None,
            answer: None,
            complaints: Vec::new(),
        }
    }
}

impl Args {
    /// Reads what follows the program's name.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Self {
        let mut parsed = Self::default();
        let mut rest = args.into_iter();
        let mut options_end = false;
        while let Some(arg) = rest.next() {
            match arg.to_str() {
                Some("--") if !options_end => options_end = true,
                Some(text) if text.starts_with('-') && !options_end => parsed.option(text, &mut rest),
                text => parsed.stage_word(text.unwrap_or_default()),
            }
        }
        parsed
    }

    fn option(&mut self, text: &str, rest: &mut impl Iterator<Item = OsString>) {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text, None),
        };
        match name {
            "--version" => self.answer = Some(concat!("remora-hook ", env!("CARGO_PKG_VERSION"), "\n")),
            "--help" | "-h" => self.answer = Some(HELP),
            "--socket" | "--timeout-ms" | "--spool" | "--ask" | "--log" => {
                match attached.or_else(|| rest.next()) {
                    Some(value) => self.valued(name, value),
                    None => self.complaints.push(format!("ignored option {name}: its value is missing")),
                }
            }
            _ => self.complaints.push(format!("ignored unknown option {text}")),
        }
    }

    fn valued(&mut self, name: &str, value: OsString) {
        match name {
            "--socket" => self.socket = value.into(),
            "--spool" => self.spool = value.into(),
            "--ask" => self.ask = value.into(),
            "--log" => self.log = Some(value.into()),
            _ => match value.to_str().and_then(|text| text.parse().ok()) {
                Some(ms) => self.budget = Duration::from_millis(MAX_BUDGET_MS.min(ms)),
                None => self.complaints.push(format!("ignored {name} {value:?}: not a number")),
            },
        }
    }

    fn stage_word(&mut self, word: &str) {
        match word {
            "createRuntime" => self.stage = Some(Stage::CreateRuntime),
            "prestart" => self.stage = Some(Stage::Prestart),
            "poststop" => self.stage = Some(Stage::Poststop),
            _ => self.complaints.push(format!("ignored unknown argument {word}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Args {
        Args::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn nothing_given_means_the_defaults() {
        assert_eq!(parse(&[]), Args::default());
    }

    #[test]
    fn options_take_values_in_both_forms() {
        let expected = Args {
            socket: "/s".into(),
            budget: Duration::from_millis(20),
            spool: "/d".into(),
            ask: "/a".into(),
            log: Some("/l".into()),
            stage: Some(Stage::Prestart),
            ..Args::default()
        };
        let words = "--socket /s --timeout-ms 20 --spool /d --ask /a --log /l prestart";
        assert_eq!(parse(&words.split(' ').collect::<Vec<_>>()), expected);
        let joined = "--socket=/s --timeout-ms=20 --spool=/d --ask=/a --log=/l -- prestart";
        assert_eq!(parse(&joined.split(' ').collect::<Vec<_>>()), expected);
    }

    #[test]
    fn what_is_unknown_is_told_and_ignored() {
        for args in [
            &["--loud"][..],
            &["createContainer"],
            &["--timeout-ms", "soon"],
            &["--timeout-ms", "-1"],
            &["--socket"],
            &["--", "--socket"],
            &[""],
        ] {
            let mut parsed = parse(args);
            assert_eq!(std::mem::take(&mut parsed.complaints).len(), 1, "{args:?}");
            assert_eq!(parsed, Args::default(), "{args:?}");
        }
    }

    #[test]
    fn the_budget_is_bounded() {
        assert_eq!(parse(&["--timeout-ms", "18446744073709551615"]).budget, Duration::from_secs(60));
    }
}
