//! `remora-runtime` in front of a runtime that only records how it was called.

use crate::rig::{HOOK, Outcome, Rig, run};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const WRAPPER: &str = env!("CARGO_BIN_EXE_remora-runtime");
/// Opted in, and with what a careless editor would change.
const CONFIG: &str =
    r#"{"zeta":1.0,"annotations":{"io.remora.trace":"exec"},"x-future":{"b":1e2,"a":[ 1 ]}}"#;

/// A world with a bundle and a runtime that writes its arguments to `argv` and ends with 7.
fn world(config: &str) -> Rig {
    let rig = Rig::new();
    fs::write(rig.path("config.json"), config).unwrap();
    executable(&rig.path("runc"), "#!/bin/sh\nprintf '%s\\n' \"$0\" \"$@\" > \"$ARGV\"\nexit 7\n");
    rig
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn wrapper(rig: &Rig) -> Command {
    let mut command = Command::new(WRAPPER);
    command.env("REMORA_RUNTIME", rig.path("runc")).env("REMORA_LOG", rig.path("log"));
    command.env("ARGV", rig.path("argv")).env_remove("REMORA_HOOK").env("REMORA_ASK", rig.path("ask"));
    command
}

/// Calls the wrapper as containerd would and makes sure that the real runtime saw the same arguments.
fn create(rig: &Rig, configure: impl FnOnce(&mut Command)) -> Outcome {
    let mut command = wrapper(rig);
    let bundle = rig.path("");
    let args = ["--root", "/r", "--log-format", "json", "create", "--bundle", bundle.to_str().unwrap(), "c1"];
    configure(command.args(args));
    let outcome = run(&mut command, b"");
    if outcome.code == Some(7) {
        let expected = format!("{}\n{}\n", rig.path("runc").display(), args.join("\n"));
        assert_eq!(fs::read_to_string(rig.path("argv")).unwrap(), expected);
    }
    outcome
}

fn config(rig: &Rig) -> String {
    fs::read_to_string(rig.path("config.json")).unwrap()
}

#[test]
fn a_container_that_opts_in_gets_our_hooks_once() {
    let rig = world(CONFIG);
    assert_eq!(create(&rig, |_| {}).code, Some(7));
    let edited = config(&rig);
    assert!(edited.starts_with(CONFIG.strip_suffix('}').unwrap()), "{edited}");
    let hooks = serde_json::from_str::<Value>(&edited).unwrap()["hooks"].clone();
    let guard = r#"[ ! -x "$0" ] || exec "$0" "$@""#;
    let start = json!([{ "path": HOOK, "args": ["remora-hook", "createRuntime"], "timeout": 5 }]);
    let end = json!([{ "path": "/bin/sh", "args": ["sh", "-c", guard, HOOK, "poststop"], "timeout": 5 }]);
    assert_eq!(hooks, json!({ "createRuntime": start, "poststop": end }));

    assert_eq!(create(&rig, |_| {}).code, Some(7));
    assert_eq!(config(&rig), edited);
    assert_eq!(rig.log(), "");
}

#[test]
fn the_current_folder_is_the_bundle_of_a_plain_run() {
    let rig = world(CONFIG);
    assert_eq!(run(wrapper(&rig).args(["run", "c1"]).current_dir(rig.path("")), b"").code, Some(7));
    assert!(config(&rig).contains("createRuntime"));
}

#[test]
fn nothing_else_is_edited() {
    let rig = world(CONFIG);
    for args in [&["state", "c1"][..], &["--version"], &[], &["delete", "--force", "create"]] {
        assert_eq!(run(wrapper(&rig).args(args).current_dir(rig.path("")), b"").code, Some(7));
    }
    assert_eq!(config(&rig), CONFIG);

    let other = r#"{"annotations":{"io.remora.required":"true"}}"#;
    let rig = world(other);
    assert_eq!(create(&rig, |_| {}).code, Some(7));
    assert_eq!((config(&rig).as_str(), rig.log().as_str()), (other, ""));
}

#[test]
fn while_others_may_be_wanted_everybody_gets_our_hooks() {
    let rig = world(r#"{"annotations":{"io.remora.required":"true"}}"#);
    fs::write(rig.path("ask"), "").unwrap();
    assert_eq!(create(&rig, |_| {}).code, Some(7));
    assert!(config(&rig).contains("createRuntime"));

    // Who did not ask by itself is never kept from starting, nor is it worth a word.
    let rig = world(r#"{"annotations":{"io.remora.required":"true"},"hooks":7}"#);
    fs::write(rig.path("ask"), "").unwrap();
    assert_eq!((create(&rig, |_| {}).code, rig.log().as_str()), (Some(7), ""));
}

#[test]
fn a_configuration_that_cannot_be_edited_is_left_to_the_runtime() {
    let broken = r#"{"annotations":{"io.remora.trace":"exec"},"hooks":7}"#;
    for text in [broken, "{", "", "[1]", &CONFIG[..60]] {
        let rig = world(text);
        assert_eq!(create(&rig, |_| {}).code, Some(7), "{text}");
        assert_eq!(config(&rig), text);
        assert_eq!(rig.log().lines().count(), 1, "{text}");
    }
    let rig = world(CONFIG);
    fs::remove_file(rig.path("config.json")).unwrap();
    assert_eq!(create(&rig, |_| {}).code, Some(7));
    assert!(rig.log().contains("failed to read"));
}

#[test]
fn a_hook_that_is_not_there_is_not_added() {
    for hook in ["/none/remora-hook", "relative/remora-hook", "/etc/passwd", ""] {
        let rig = world(CONFIG);
        assert_eq!(
            create(&rig, |command| {
                command.env("REMORA_HOOK", hook);
            })
            .code,
            Some(7)
        );
        assert_eq!(config(&rig), CONFIG);
        assert!(rig.log().contains("without our hooks"), "{}", rig.log());
    }
}

#[test]
fn a_container_that_must_be_traced_does_not_start_without_its_hook() {
    let rig = world(r#"{"annotations":{"io.remora.trace":"exec","io.remora.required":"true"}}"#);
    let mut command = wrapper(&rig);
    command.env("REMORA_HOOK", "/none").arg("--log").arg(rig.path("runc.log"));
    command.args(["--log-format=json", "create", "c1", "--bundle"]).arg(rig.path(""));
    let outcome = run(&mut command, b"");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("must not run untraced"), "{}", outcome.stderr);
    assert!(!rig.path("argv").exists());
    let line: Value = serde_json::from_str(&fs::read_to_string(rig.path("runc.log")).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("REMORA_HOOK"));
}

#[test]
fn without_a_real_runtime_it_says_so() {
    for runtime in ["/none", WRAPPER, "no-such-program"] {
        let rig = world(CONFIG);
        let outcome = create(&rig, |command| {
            command.env("REMORA_RUNTIME", runtime);
        });
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.stderr.contains("failed to find the real runtime"), "{}", outcome.stderr);
    }
}

#[test]
fn a_runtime_is_found_by_name_and_never_is_the_wrapper() {
    let rig = world(CONFIG);
    let folder = rig.path("links");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(WRAPPER, folder.join("runc")).unwrap();
    let path = format!("{}:{}", folder.display(), rig.path("").display());
    let outcome = create(&rig, |command| {
        command.env("REMORA_RUNTIME", "runc").env("PATH", path);
    });
    // The script is found by its name in PATH; it needs no PATH itself.
    assert_eq!(outcome.code, Some(7), "{}", outcome.stderr);
}
