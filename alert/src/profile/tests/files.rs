use super::*;
use crate::profile::{diff, merge};

fn error(text: &str) -> String {
    Profile::from_yaml(text).map(|p| p.to_yaml()).expect_err(text).to_string()
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let mut bench = Bench::new();
    bench.image = "localhost/\"web\"#: x";
    bench.serve(&["a", "b", "c"], 0, HOUR);
    bench.does(HOUR, "b", &exec("we\nb", "/bin/\u{1b}[31m\"x'\\", &["-c", "*", "#", "{a: [b"]));
    let file = bench.profile().to_yaml();
    assert!(file.contains("waiting:"), "{file}");
    let again = Profile::from_yaml(&file).unwrap();
    assert_eq!(again.to_yaml(), file);
    assert_eq!(diff(&again, bench.profile()), []);
    assert_eq!(again.state(), bench.profile().state());
}

#[test]
fn a_file_can_be_read_by_a_person() {
    let mut bench = Bench::new();
    bench.does(0, "a", &exec("runc", "/usr/sbin/web", &["-g", "daemon off;"]));
    bench.does(1, "a", &open("web", "/etc/web.conf"));
    let file = bench.profile().to_yaml();
    let end = r#"phases:
  start-up:
    executed:
      "exec:image":
        runc:
          - {at: [/usr/sbin/web, "-g #"], count: 1, first: "2026-01-01T00:00:00Z", last: "2026-01-01T00:00:00Z", by: ["bf3b"]}
    opened:
      "open:read":
        web:
          - {at: [/etc/web.conf], count: 1, first: "2026-01-01T00:00:01Z", last: "2026-01-01T00:00:01Z", by: ["bf3b"]}
"#;
    assert!(file.starts_with("remora-profile: 1\nimage: \"localhost/web:1\"\n"), "{file}");
    assert!(file.ends_with(end), "{file}");
}

#[test]
fn bad_files_are_refused_by_line() {
    let good = "remora-profile: 1\nimage: web\nphases:\n  steady:\n    opened:\n      open:\n        web:\n          - {at: [/x]}\n";
    Profile::from_yaml(good).unwrap();
    for (old, new, want) in [
        ("remora-profile: 1", "remora-profile: 2", "1:17: profiles of version 1"),
        ("remora-profile: 1", "remora: 1", "1:1: \"remora\" is not known here"),
        ("image: web", "image: ''", "2:8: an image's name"),
        ("image: web", "image: [web]", "2:8: a text is wanted"),
        ("steady:", "later:", "4:3: \"later\" is not known here"),
        ("at: [/x]", "count: 1", "8:13: there is no at"),
        ("at: [/x]", "at: [/x], count: -1", "8:31: \"-1\" is no whole number"),
        ("at: [/x]", "at: [/x], first: yesterday", "a time is RFC 3339"),
        ("at: [/x]", "at: [/x], by: [zz]", "8:29: a replica is four hexadecimal digits"),
        ("at: [/x]", "at: [/x", "no YAML"),
        ("{at: [/x]}", "&a {at: [/x]}", "anchors"),
        ("phases:", "waiting: [{phase: never}]\nphases:", "3:11: a phase is start-up or steady"),
    ] {
        let said = error(&good.replacen(old, new, 1));
        assert!(said.contains(want), "{new}: {said}");
    }
    assert!(error("").contains("there is no remora-profile"));
    assert!(error(&"x".repeat(9 << 20)).contains("longer than"));
}

#[test]
fn differences_are_told_in_order() {
    let mut bench = Bench::new();
    bench.serve(&["a"], 0, 2 * MINUTE);
    let before = bench.profile().clone();
    bench.does(2 * MINUTE, "a", &exec("web", "/bin/sh", &[]));
    let lines = |a: &Profile, b: &Profile| diff(a, b).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(lines(&before, bench.profile()), ["+ steady executed exec:image web: /bin/sh (1)"]);
    assert_eq!(lines(bench.profile(), &before), ["- steady executed exec:image web: /bin/sh (1)"]);
}

#[test]
fn profiles_of_two_nodes_are_merged() {
    let (mut one, mut two) = (Bench::new(), Bench::new());
    one.serve(&["a"], 0, 2 * MINUTE);
    two.serve(&["b"], MINUTE, 3 * MINUTE);
    two.does(3 * MINUTE, "b", &exec("web", "/bin/sh", &[]));
    let merged = merge(one.profile(), two.profile()).unwrap();
    assert_eq!(merged.to_yaml(), merge(two.profile(), one.profile()).unwrap().to_yaml());
    assert_eq!(merged.entries(), two.profile().entries());
    assert_eq!(merged.containers, 2);
    assert!(diff(&merged, one.profile()).iter().all(|d| !d.added));
    two.image = "other";
    two.does(0, "x", &open("web", "/x"));
    assert!(merge(one.profile(), two.profile()).unwrap_err().to_string().contains("not of one kind"));
}
