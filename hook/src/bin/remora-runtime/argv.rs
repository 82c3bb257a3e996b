//! The command line of an OCI runtime, as far as it says which bundle is about to be started. runc, crun
//! and youki agree on most of it; `-name` and `--name`, `--name value` and `--name=value` mean the same.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Options before the command that take a value.
const GLOBAL_VALUED: &[&str] =
    &["root", "r", "log", "l", "log-format", "log-level", "criu", "rootless", "cgroup-manager", "config"];
/// Options of `create` and `run` that take a value.
const CREATE_VALUED: &[&str] =
    &["bundle", "b", "config", "f", "console-socket", "pid-file", "pidfd-socket", "preserve-fds"];
/// What a runtime can be told to do, to know a command from the value of an option that we do not know.
const COMMANDS: &[&str] = &[
    "checkpoint",
    "create",
    "delete",
    "events",
    "exec",
    "features",
    "help",
    "info",
    "init",
    "kill",
    "list",
    "pause",
    "ps",
    "restore",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
];

/// One call of the runtime.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// It starts a container: `create` or `run`.
    pub creates: bool,
    bundle: Option<PathBuf>,
    config: Option<PathBuf>,
    /// Where the caller reads the runtime's errors.
    pub log: Option<PathBuf>,
    pub log_json: bool,
}

impl Call {
    /// Reads what follows the program's name.
    pub fn parse(args: &[OsString]) -> Self {
        let mut call = Self::default();
        let mut rest = args.iter();
        let command = scan(&mut rest, GLOBAL_VALUED, true, |name, value| match name {
            "log" | "l" => call.log = Some(value.into()),
            "log-format" => call.log_json = value == "json",
            _ => {}
        });
        if !command.is_some_and(|word| word == "create" || word == "run") {
            return call;
        }
        call.creates = true;
        let mut take = |name: &str, value: &OsStr| match name {
            "bundle" | "b" => call.bundle = Some(value.into()),
            "config" | "f" => call.config = Some(value.into()),
            _ => {}
        };
        // The container's id may stand before options, so every word is passed over.
        while scan(&mut rest, CREATE_VALUED, false, &mut take).is_some() {}
        call
    }

    /// The container's configuration, seen from the folder `cwd`.
    pub fn config(&self, cwd: &Path) -> PathBuf {
        let bundle = cwd.join(self.bundle.as_deref().unwrap_or(Path::new("")));
        bundle.join(self.config.as_deref().unwrap_or(Path::new("config.json")))
    }
}

/// Hands each option that has a value to `take`, and returns the first word that is neither an option nor a
/// value. With `command`, a word after an unknown option counts only if it is a command.
fn scan<'a>(
    rest: &mut impl Iterator<Item = &'a OsString>,
    valued: &[&str],
    command: bool,
    mut take: impl FnMut(&str, &OsStr),
) -> Option<&'a OsStr> {
    let mut after_unknown = false;
    while let Some(arg) = rest.next() {
        match option(arg) {
            None if arg == "--" => return None,
            None if command && after_unknown && !COMMANDS.iter().any(|word| arg == word) => {
                after_unknown = false
            }
            None => return Some(arg),
            Some((name, Some(value))) => take(name, value),
            Some((name, None)) if valued.contains(&name) => take(name, rest.next()?),
            Some(_) => after_unknown = true,
        }
    }
    None
}

/// Name and attached value of an option.
fn option(arg: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = arg.as_bytes().strip_prefix(b"-")?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if bytes.is_empty() {
        return None;
    }
    let mut parts = bytes.splitn(2, |&b| b == b'=');
    let name = std::str::from_utf8(parts.next()?).unwrap_or_default();
    Some((name, parts.next().map(OsStr::from_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Call {
        Call::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    /// The configuration that a command line starts, from the folder /cwd.
    fn starts(line: &str) -> Option<String> {
        let call = parse(line);
        call.creates.then(|| call.config(Path::new("/cwd")).to_str().unwrap().to_owned())
    }

    #[test]
    fn the_bundle_is_found_wherever_it_stands() {
        for line in [
            "create --bundle /b c1",
            "create --bundle=/b c1",
            "create -b /b c1",
            "create -b=/b c1",
            "create -bundle /b c1",
            "run --bundle /b --pid-file /p c1",
            "run --pid-file --bundle --bundle /b c1",
            "create c1 --bundle /b",
            "--root /run/runc --log /l --log-format json --systemd-cgroup create --bundle /b c1",
            "--root=/run/runc --rootless=true create --bundle /b --no-pivot --console-socket /s c1",
            "--debug --criu /usr/bin/criu --rootless auto run --keep -d --bundle /b c1",
            "--cgroup-manager systemd --root create create --bundle /b c1",
            "--unheard-of value create --bundle /b c1",
            "--unheard-of create --bundle /b c1",
            "create --bundle /b -- c1 --bundle /other",
        ] {
            assert_eq!(starts(line).as_deref(), Some("/b/config.json"), "{line}");
        }
    }

    #[test]
    fn without_a_bundle_it_is_the_current_folder() {
        assert_eq!(starts("run c1").as_deref(), Some("/cwd/config.json"));
        assert_eq!(starts("run -b sub c1").as_deref(), Some("/cwd/sub/config.json"));
        assert_eq!(starts("run --bundle").as_deref(), Some("/cwd/config.json"));
        assert_eq!(starts("run --config other.json -b /b c1").as_deref(), Some("/b/other.json"));
    }

    #[test]
    fn nothing_else_starts_a_container() {
        for line in [
            "",
            "--version",
            "--help",
            "state c1",
            "delete --force create",
            "--root create state c1",
            "kill run KILL",
            "exec --process /p c1 create",
            "-- create",
            "--log",
            "start create",
        ] {
            assert_eq!(starts(line), None, "{line}");
        }
    }

    #[test]
    fn arguments_need_not_be_text() {
        let bundle = OsStr::from_bytes(b"/b\xff").to_owned();
        let call =
            Call::parse(&[OsStr::from_bytes(b"--\xfe").to_owned(), "create".into(), "-b".into(), bundle]);
        assert_eq!(call.config(Path::new("/")), Path::new(OsStr::from_bytes(b"/b\xff/config.json")));
    }

    #[test]
    fn the_callers_log_is_known() {
        let call = parse("--log /l --log-format=json create c1");
        assert_eq!((call.log, call.log_json), (Some("/l".into()), true));
    }
}
