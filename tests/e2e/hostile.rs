//! What a container chooses comes out escaped, and whole or marked truncated, wherever it is shown.

use remora_tests::{Bed, Bundle, events::text, run};

/// A newline, an escape sequence, quotes, a backslash, a comma, a reordering character.
const NASTY: &str = "a\nb\u{1b}[31m\"'\\,=\u{202e}z";
const NAME: &str = "evil\n# TYPE x counter\nx 1\u{1b}]0;pwned\u{7}\",<script>\\";

/// `printf` arguments that make NASTY, with a byte that is no UTF-8 at the end.
const PRINTF: &str = r#"'a\nb\033[31m"\047\\,=\342\200\256z\377'"#;

fn traced(bed: &Bed) -> remora_tests::Events {
    // In $(…) a trailing newline would be lost; NASTY ends with another byte.
    let script = format!(
        "s=$(printf {PRINTF}); echo x >\"/tmp/$s\"; cat \"/tmp/$s\" >/dev/null; /bin/true \"$s\" '' end; \
         long=$(head -c 131000 /dev/zero | tr '\\0' x); /bin/true \"$long\"; \
         deep=$(printf 'd/%.0s' $(seq 1 2040)); cat \"/$deep\" 2>/dev/null; \
         printf 'a\\nb\\033\"\\\\' >/proc/self/comm; (exec /bin/false); exit 0"
    );
    let bundle = Bundle::with(bed, "hostile", &["/bin/sh", "-c", &script], |config| {
        let annotations = &mut config["annotations"];
        annotations["io.remora.trace"] = "exec,file".into();
        annotations["io.kubernetes.cri.container-name"] = NAME.into();
        annotations["io.kubernetes.cri.image-name"] = NASTY.into();
        annotations["io.kubernetes.cri.sandbox-name"] = NASTY.into();
    });
    bundle.run();
    drop(bundle);
    bed.ended("hostile");
    bed.events().of_container("hostile")
}

/// Nothing but text and line ends.
fn assert_clean(what: &str, output: &str) {
    let bad = |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}');
    let found = output.chars().find(bad);
    assert_eq!(found, None, "{what}: {:?}", output.lines().find(|l| l.contains(|c| bad(&c))));
}

#[test]
fn strings_are_whole_and_escaped() {
    let mut bed = Bed::tracing("default,file");
    bed.start();
    let events = traced(&bed);
    let expected = format!("{NASTY}\\xff");
    assert_eq!(text(events.first(), "container.name"), NAME);
    assert_eq!(text(events.first(), "container.image.name"), NASTY);
    let paths = events.named("open").texts("file.path");
    assert_eq!(paths.iter().filter(|p| **p == format!("/tmp/{expected}")).count(), 2, "{paths:?}");
    let nasty = events.named("exec").only(|e| e["process"]["command_args"][3] == "end");
    assert_eq!(
        nasty.first()["process"]["command_args"],
        serde_json::json!(["/bin/true", expected, "", "end"])
    );
    // Longer than what is reported: marked, and what is there is right.
    let long = events.named("exec").only(|e| e["process"]["command_args_truncated"] == true);
    let argument = long.first()["process"]["command_args"][1].as_str().expect("an argument");
    assert!(argument.len() > 4000 && argument.bytes().all(|b| b == b'x'), "{}", argument.len());
    let deep = events.named("open").only(|e| text(e, "file.path").starts_with("/d/d/"));
    assert_eq!(text(deep.first(), "file.path"), format!("/{}", "d/".repeat(2040)));
    assert_eq!(text(deep.first(), "open.error"), "ENOENT");
    let renamed = events.named("exec").only(|e| text(e, "process.executable.path") == "/bin/false");
    assert_eq!(text(renamed.first(), "exec.parent_comm"), "a\nb\u{1b}\"\\");
}

#[test]
fn every_face_is_harmless() {
    let mut bed = Bed::tracing("default,file");
    bed.start();
    let events = traced(&bed);
    for format in ["table", "json", "csv"] {
        let output = run(&mut bed.remora(&["events", "--replay", "--format", format]));
        assert_clean(format, &output);
        let lines = output.lines().count() - usize::from(format == "csv");
        assert_eq!(lines, events.len(), "{format}: one line an event");
    }
    let csv = run(&mut bed.remora(&["events", "--replay", "--format", "csv"]));
    let columns = cells(csv.lines().next().expect("a head")).len();
    assert!(csv.lines().all(|l| cells(l).len() == columns), "a line has other cells");
    for format in ["table", "json", "csv"] {
        assert_clean(format, &run(&mut bed.remora(&["ps", "--all", "--format", format])));
    }
    let metrics = bed.get("/metrics");
    assert_clean("metrics", &metrics);
    let injected = metrics.lines().find(|l| l.starts_with("x ") || l.starts_with("# TYPE x "));
    assert_eq!(injected, None);
    assert!(
        metrics
            .lines()
            .filter(|l| !l.starts_with('#'))
            .all(|l| l.starts_with("remora_") || l.starts_with("process_")),
        "{metrics}"
    );
    assert_clean("log", &bed.log());
}

/// RFC 4180.
fn cells(line: &str) -> Vec<String> {
    let (mut all, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    all.push(cell);
    all
}
