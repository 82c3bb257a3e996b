//! `remora report`: what a container did, against what it is known to have done.

use std::fs;

use remora_tests::{Bed, Bundle, output, run, wait_for};
use serde_json::Value;

const SCRIPT: &str = "/bin/cat /etc/passwd >/dev/null; /bin/true; /bin/true; /bin/cat /no/such/file 2>/dev/null; \
                      /bin/mkdir /tmp/made; exit 3";

fn started(bed: &Bed, name: &str) {
    let bundle = Bundle::new(bed, name, "exec,file", &["/bin/sh", "-c", SCRIPT]);
    output(&mut bundle.run_command());
    drop(bundle);
}

fn report(bed: &Bed, name: &str) -> Value {
    serde_json::from_str(&run(&mut bed.remora(&["report", name, "--format", "json"]))).expect("not JSON")
}

fn section<'r>(report: &'r Value, role: &str) -> &'r Vec<Value> {
    let all = report["sections"].as_array().expect("sections");
    let found = all.iter().find(|s| s["role"] == role).unwrap_or_else(|| panic!("no {role} in {report}"));
    found["entries"].as_array().expect("entries")
}

/// The entry of a file.
fn entry<'r>(report: &'r Value, role: &str, path: &str) -> &'r Value {
    let found = section(report, role).iter().find(|e| e["features"]["file.path"] == path);
    found.unwrap_or_else(|| panic!("no {path} in {report}"))
}

fn assert_story(report: &Value) {
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 1, "{report}");
    let shell = &processes[0];
    assert_eq!(shell["commands"][0]["args"][2], SCRIPT);
    assert_eq!(shell["end"]["code"], 3, "{shell}");
    let below: Vec<(&str, u64)> = shell["children"]
        .as_array()
        .expect("children")
        .iter()
        .map(|p| {
            (p["commands"][0]["args"][0].as_str().expect("an argument"), p["times"].as_u64().expect("times"))
        })
        .collect();
    assert_eq!(below, [("/bin/cat", 1), ("/bin/true", 2), ("/bin/cat", 1), ("/bin/mkdir", 1)]);
    assert_eq!(entry(report, "opened", "/etc/passwd")["failed"], Value::Null);
    let missing = entry(report, "opened", "/no/such/file");
    assert_eq!((&missing["times"], &missing["error"]), (&1.into(), &"ENOENT".into()));
    assert_eq!(entry(report, "changed", "/tmp/made")["event"], "mkdir");
    let ledger = &report["container"]["ledger"];
    let delivered: u64 = ledger["tracers"]
        .as_object()
        .expect("tracers")
        .values()
        .filter_map(|c| c["delivered"].as_u64())
        .sum();
    assert_eq!(report["events"], delivered, "{report}");
}

#[test]
fn what_it_did_is_told_without_history_while_the_daemon_remembers() {
    let mut bed = Bed::tracing("exec,file");
    bed.start();
    started(&bed, "worker");
    started(&bed, "another");
    bed.ended("worker");
    let told = report(&bed, "worker");
    assert_eq!((&told["source"], &told["gaps"]), (&"memory".into(), &0.into()));
    assert_story(&told);
    let text = run(&mut bed.remora(&["report", "worker"]));
    for said in ["EXECUTED", "/bin/true  (", "2 times", "OPENED", "/etc/passwd", "ENOENT", "LEDGER"] {
        assert!(text.contains(said), "no {said} in {text}");
    }
    let unknown = output(&mut bed.remora(&["report", "nobody"]));
    assert!(
        !unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("no container nobody")
    );
}

#[test]
fn what_it_did_is_told_from_the_history_when_all_else_is_forgotten() {
    let mut bed = Bed::tracing("exec,file")
        .with("history", "enabled = true")
        .with("limits", "history_bytes = \"64KiB\"")
        .with("limits", "series_linger = \"100ms\"")
        .with("limits", "ended = 0");
    bed.start();
    started(&bed, "worker");
    started(&bed, "another");
    wait_for("both accounts", || {
        let all = bed.json("/v1/containers?history=true");
        (all.as_array()?.iter().filter(|c| c["state"] == "ended").count() == 2).then_some(())
    });
    bed.stop();
    bed.start();
    let told = wait_for("all of its events", || {
        let told = report(&bed, "worker");
        let counts = told["container"]["ledger"]["tracers"].as_object()?.values();
        let delivered: u64 = counts.filter_map(|c| c["delivered"].as_u64()).sum();
        (told["events"] == delivered).then_some(told)
    });
    assert_eq!((&told["source"], &told["gaps"]), (&"history".into(), &0.into()));
    assert_story(&told);
    // Its counters are there although their maps belong to others now.
    let metrics = told["metrics"].as_array().expect("metrics");
    let execs = metrics.iter().find(|m| m["name"] == "remora_exec_execs_total").expect("a counter");
    assert_eq!(execs["value"], 6.0, "{execs}");
}

#[test]
fn while_it_runs_its_tables_and_resources_are_there() {
    let mut bed = Bed::tracing("exec,listen,resources");
    bed.start();
    let bundle = Bundle::new(&bed, "server", "exec,listen,resources", &["/bin/sleep", "1000"]);
    let mut child = bundle.start();
    wait_for("it to execute", || {
        bed.container("server")?;
        let told = report(&bed, "server");
        (!told["processes"].as_array()?.is_empty()).then_some(())
    });
    let told = report(&bed, "server");
    let metrics = told["metrics"].as_array().expect("metrics");
    assert!(metrics.iter().any(|m| m["tracer"] == "resources"), "{told}");
    assert_eq!(told["container"]["state"], "running");
    bundle.delete();
    child.wait().expect("failed to wait");
}

#[test]
fn html_is_one_file_in_which_nothing_a_container_says_is_markup() {
    let mut bed = Bed::tracing("exec,file");
    bed.start();
    let script = "/bin/true '</title><script>alert(1)</script>' '\"><img src=x onerror=alert(2)>' \"$(printf 'a\\033[2Jb')\"; \
                  echo x >'/tmp/<b onload=\"y\">'";
    let name = "<script>evil</script>";
    let bundle = Bundle::with(&bed, "hostile", &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "exec,file".into();
        config["annotations"]["io.kubernetes.cri.container-name"] = name.into();
    });
    bundle.run();
    drop(bundle);
    bed.ended("hostile");
    let html = run(&mut bed.remora(&["report", "hostile", "--format", "html"]));
    assert!(html.contains("&lt;script&gt;evil&lt;/script&gt;") && html.contains("alert(1)"), "{html}");
    for markup in ["<script", "<img", "<b ", "http://", "https://", "src=\"", "href"] {
        assert!(!html.contains(markup), "{markup} in {html}");
    }
    let text = run(&mut bed.remora(&["report", "hostile"]));
    assert!(!text.contains('\u{1b}') && !html.contains('\u{1b}'));
    // As another parser sees it, where there is one.
    let file = bed.path("report.html");
    fs::write(&file, &html).expect("failed to write");
    let tags = "import sys, html.parser\nseen = set()\nclass P(html.parser.HTMLParser):\n  \
                def handle_starttag(self, tag, attrs): seen.add(tag); assert not [k for k, _ in attrs if k.startswith('on')]\n\
                P().feed(open(sys.argv[1]).read())\nprint(' '.join(sorted(seen)))";
    let mut python = std::process::Command::new("python3");
    if let Ok(output) = python.args(["-c", tags]).arg(&file).output() {
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        let known = "body div h1 h2 head html li meta p small style table td th title tr ul";
        assert!(
            output.status.success() && seen.split_whitespace().all(|t| known.split(' ').any(|k| k == t)),
            "{seen}"
        );
    }
}
