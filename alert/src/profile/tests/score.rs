use super::*;

fn converged() -> Bench {
    let mut bench = Bench::new();
    bench.serve(&["a"], 0, HOUR);
    bench
}

#[test]
fn drift_weighs_by_class_and_by_how_high_it_leaves_what_is_known() {
    let mut bench = converged();
    let score = |bench: &mut Bench, act: &Act| bench.novel(HOUR, "a", act).score;
    assert_eq!(score(&mut bench, &open("web", "/srv/www/other.html")), 0.5);
    assert_eq!(score(&mut bench, &open("web", "/root/.ssh/id")), 0.5);
    assert_eq!(score(&mut bench, &open("sh", "/srv/www/page1.html")), 0.25);
    assert_eq!(score(&mut bench, &open("id", "/root/x")), 0.5);
    assert_eq!(score(&mut bench, &connect("web", "10.0.0.7", 22)), 1.5);
    assert_eq!(score(&mut bench, &connect("web", "93.184.216.34", 443)), 3.0);
    assert_eq!(score(&mut bench, &listen("web", 4444)), 9.0);
    assert_eq!(score(&mut bench, &exec("web", "/bin/sh", &[])), 9.0);
    assert_eq!(score(&mut bench, &exec("web", "/bin/cat", &[])), 4.0);
}

#[test]
fn what_comes_with_something_new_is_less_new() {
    let mut bench = converged();
    let written = |path: &str| {
        let Act(tracer, mut event) = open("python", path);
        event["open"]["flags"] = "O_WRONLY".into();
        Act(tracer, event)
    };
    let first = bench.novel(HOUR, "a", &written("/usr/lib/python/a.pyc"));
    let second = bench.novel(HOUR, "a", &written("/usr/lib/python/b.pyc"));
    let again = bench.novel(HOUR, "a", &written("/usr/lib/python/a.pyc"));
    assert_eq!((first.score, second.score, again.score), (3.0, 1.0, 3.0));
}

#[test]
fn what_no_report_has_a_word_for_weighs_little() {
    let mut bench = converged();
    let json = json!({"event": {"name": "first_use", "tracer": "syscall"}, "process": {"pid": 7, "comm": "web"},
        "syscall": {"name": "getpgrp"}});
    assert_eq!(bench.novel(HOUR, "a", &Act("syscall", json)).score, 0.25);
}

#[test]
fn it_says_what_nobody_has_done() {
    let mut bench = converged();
    let shell = bench.novel(HOUR, "a", &exec("web", "/bin/sh", &["-c", "id"]));
    assert_eq!(shell.why, "no container of web:1 has executed /bin/sh -c id, or anything like it");
    assert_eq!((shell.class.as_str(), shell.attribute.as_str()), ("executed", "/bin/sh -c id"));
    let file = bench.novel(HOUR, "a", &open("web", "/etc/shadow"));
    assert_eq!(file.why, "web of web:1 has not opened /etc/shadow before");
    let hostile = bench.novel(HOUR, "a", &open("web", "/x/\u{1b}[2J\u{202e}\n"));
    assert!(!hostile.why.contains(|c: char| c.is_control() || c == '\u{202e}'), "{}", hostile.why);
}

#[test]
fn a_failure_of_what_is_known_to_succeed_is_little() {
    let mut bench = converged();
    let Act(tracer, mut event) = open("web", "/srv/www/page1.html");
    event["open"]["error"] = "EMFILE".into();
    assert_eq!(bench.novel(HOUR, "a", &Act(tracer, event)).score, 0.25);
}
