//! Rules and recordings without a daemon: recorded events of a real container come to what was told of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use remora_tests::{Bed, build_dir, output, run};
use serde_json::Value;

const RULES: &str = "rules:
  - id: echoes
    summary: '{process.executable.path} was executed'
    description: for tests
    condition: event.name == \"exec\" && basename(process.executable.path) == \"echo\"
    severity: high
    tags: [execution]
";

fn remora(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(build_dir().join("remora"));
    command.args(args).current_dir(dir);
    command
}

/// Standard error of what must fail.
fn refused(args: &[&str], dir: &Path) -> String {
    let output = output(&mut remora(args, dir));
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_recording_comes_to_what_rules_say_of_it() {
    let bed = Bed::new();
    for name in ["one", "two"] {
        output(&mut bed.remora(&[
            "run",
            "--name",
            name,
            "--trace",
            "exec",
            "--",
            "env",
            "echo",
            "\u{1b}[2J",
        ]));
        bed.ended(name);
    }
    let dir = tempfile::tempdir().expect("failed to make a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("failed to write");
    fs::create_dir(dir.path().join("rules")).expect("failed to make a folder");
    write("rules/mine.yaml", RULES);
    write("day.json", &run(&mut bed.remora(&["events", "--replay", "--format", "json"])));
    let replay = |more: &[&str]| {
        run(&mut remora(
            &[&["replay", "day.json", "--rules", "rules", "--no-shipped"], more].concat(),
            dir.path(),
        ))
    };
    let json = replay(&["--format", "json"]);
    let last: Value = serde_json::from_str(json.lines().last().unwrap_or_default()).expect("not JSON");
    let summary = &last["summary"];
    assert_eq!((&summary["containers"], &summary["rules"]["echoes"]), (&2.into(), &2.into()), "{json}");
    assert_eq!(replay(&["--format", "json"]), json);
    let text = replay(&[]);
    assert!(text.contains("echo was executed") && !text.contains('\u{1b}'), "{text}");
    // What is learned is a file, and where one can begin.
    replay(&["--learned", "known"]);
    assert!(fs::read_dir(dir.path().join("known")).is_ok_and(|all| all.count() > 0));
    replay(&["--profiles", "known"]);
}

#[test]
fn broken_rules_profiles_and_recordings_are_refused_by_line() {
    let dir = tempfile::tempdir().expect("failed to make a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("failed to write");
    let other = RULES.replace("id: echoes", "id: other").replace("rules:\n", "");
    write("bad.yaml", &(RULES.replace("high", "awful") + &other));
    let said = refused(&["rules", "check", "--no-shipped", "bad.yaml"], dir.path());
    assert!(said.contains("bad.yaml:6:") && said.contains("rule echoes"), "{said}");
    write("good.yaml", RULES);
    run(&mut remora(&["rules", "check", "good.yaml"], dir.path()));
    fs::create_dir(dir.path().join("d")).expect("failed to make a folder");
    write("d/mine.yaml", RULES);
    let test = |expect: &str| {
        format!(
            "tests:\n  - name: an echo\n    events:\n      - event: {{name: exec, tracer: exec}}\n        \
             process: {{pid: 1, executable: {{path: /bin/echo}}}}\n    expect: {expect}\n"
        )
    };
    write("tests.yaml", &test("[echoes]"));
    let passed =
        run(&mut remora(&["rules", "test", "tests.yaml", "--rules", "d", "--no-shipped"], dir.path()));
    assert!(passed.contains("1 tests passed, 0 failed"), "{passed}");
    write("tests.yaml", &test("[]"));
    let said = refused(&["rules", "test", "tests.yaml", "--rules", "d", "--no-shipped"], dir.path());
    assert!(said.contains("tests.yaml:2: an echo") && said.contains("echoes"), "{said}");
    write("day.json", "{}\n");
    assert!(refused(&["replay", "day.json"], dir.path()).contains("day.json:1: the event has no time"));
    assert!(refused(&["replay", "none.json"], dir.path()).contains("failed to open none.json"));
    write("profile.yaml", "remora-profile: 1\nimage: [\n");
    let said = refused(&["profile", "diff", "profile.yaml", "profile.yaml"], dir.path());
    assert!(said.contains("profile.yaml:"), "{said}");
}
