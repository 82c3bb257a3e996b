use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Rules, Source, reference, test};
use crate::event::Event;
use crate::meaning::Meanings;
use crate::time;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

/// Of one file, `one.yaml`.
fn compile(text: &str) -> (Rules, Vec<String>) {
    compile_all(&[text])
}

fn compile_all(texts: &[&str]) -> (Rules, Vec<String>) {
    let names = ["one.yaml", "two.yaml", "three.yaml"];
    let files: Vec<_> = names.iter().zip(texts).map(|(name, text)| source(name, text)).collect();
    let (rules, problems) = Rules::compile(&files, Some(&Meanings::shipped()));
    (rules, problems.iter().map(ToString::to_string).collect())
}

/// A rule of that condition, and what else it has.
fn rule(id: &str, condition: &str, more: &str) -> String {
    format!("  - id: {id}\n    summary: x\n    severity: low\n    condition: {condition}\n{more}")
}

fn exec(program: &str, ms: u64) -> Event {
    let json = json!({"time": time::format(1_767_225_600 * time::SECOND + ms * 1_000_000),
        "event": {"name": "exec", "tracer": "exec"}, "container": {"id": "c", "name": "web"},
        "process": {"pid": 7, "comm": "x\u{1b}[0m", "executable": {"path": program}, "command_args": [program, "a b"]}});
    Event::new(json.as_object().cloned().unwrap()).unwrap()
}

fn matched(rules: &mut Rules, event: &Event) -> Vec<String> {
    rules.matching(event).into_iter().map(|rule| rule.id.to_string()).collect()
}

#[test]
fn a_bad_rule_is_refused_by_its_place_and_the_others_run() {
    let text = format!(
        "rules:\n{}{}{}",
        rule("good", "event.name == \"exec\"", ""),
        rule("bad", "event.name == \"exec\" && exec.ttty == \"x\"", ""),
        rule("folded", ">-\n      event.name == \"exec\" &&\n      frob(exec.tty)", "")
    );
    let (rules, problems) = compile(&text);
    assert_eq!(rules.iter().map(|r| &*r.id).collect::<Vec<_>>(), ["good"]);
    assert_eq!(
        problems,
        [
            "one.yaml:9:40: rule bad: no tracer has a member \"exec.ttty\"",
            "one.yaml:15:7: rule folded: there is no function \"frob\" of so many arguments",
        ]
    );
}

#[test]
fn each_mistake_is_named() {
    let exec = "event.name == \"exec\"";
    for (text, want) in [
        ("rules: 3".to_owned(), "one.yaml:1:8: a list is wanted here"),
        ("rule: []".to_owned(), "one.yaml:1:1: \"rule\" is not known here; known are lists, macros, rules, overrides"),
        ("rules: [".to_owned(), "this is no YAML"),
        ("rules:\n  - summary: x".to_owned(), "one.yaml:2:5: there is no id"),
        (format!("rules:\n{}", rule("A", exec, "")), "rule A: the id \"A\" is not"),
        (format!("rules:\n{}", rule("x", exec, "    sevrity: low\n")), "\"sevrity\" is not known"),
        (format!("rules:\n{}", rule("x", exec, "    tags: [a b]\n")), "the tag \"a b\""),
        (format!("rules:\n{}", rule("x", exec, "    enabled: maybe\n")), "true or false is wanted"),
        (format!("rules:\n{}", rule("x", exec, "    rate: {count: 0, within: 1s}\n")), "counts to 1 at least"),
        (format!("rules:\n{}", rule("x", exec, "    rate: {count: 5, within: 10}\n")), "no time such as"),
        (format!("rules:\n{}", rule("x", exec, "    rate: {count: 5, within: 25h}\n")), "24h at most"),
        (format!("rules:\n{}", rule("x", exec, "    rate: {count: 5, within: 1s, by: [x]}\n")), "no tracer has a member \"x\""),
        (format!("rules:\n{}", rule("x", exec, "    exceptions: [{condition: 'true'}]\n")), "there is no reason"),
        (format!("rules:\n{}{}", rule("x", exec, ""), rule("x", exec, "")), "of that id already, at one.yaml:2"),
        (format!("rules:\n{}", rule("x", "event.name == \"exce\"", "")), "no tracer has an event \"exce\""),
        (format!("rules:\n{}", rule("x", "event.name == \"exec\" && file.path == \"x\"", "")), "other events, not of exec"),
        (format!("rules:\n{}", rule("x", "event.name == \"exec\" && event.name == \"open\"", "")), "true of no event"),
        (format!("rules:\n{}", rule("x", "executed", "")), "no tracer has a member \"executed\""),
        (format!("macros: {{m: a ==}}\nrules:\n{}", rule("x", "m", "")), "one.yaml:1:17: m: the expression cannot"),
        (format!("macros: {{m: n, n: m}}\nrules:\n{}", rule("x", "m", "")), "the macro \"n\" needs itself"),
        ("macros: {event: 'true'}".to_owned(), "cannot be a name"),
        ("lists: {a: {add: [b]}}".to_owned(), "no earlier file has a list of that name"),
        ("lists: {a: [[b]]}".to_owned(), "an element is a text"),
        ("overrides: [{id: nobody, severity: low}]".to_owned(), "no earlier file has a rule of that id"),
        ("rules:\n  - id: x\n    summary: a {file.pth}\n    severity: low\n    condition: event.name == 'open'".to_owned(),
            "no tracer has a member \"file.pth\""),
        ("rules:\n  - id: x\n    summary: A sentence.\n    severity: low\n    condition: event.name == 'open'".to_owned(),
            "ends in a full stop"),
    ] {
        let (_, problems) = compile(&text);
        assert!(problems.iter().any(|p| p.contains(want)), "{text}:\n{problems:#?}\nwant {want}");
    }
}

#[test]
fn later_files_change_rules_of_earlier_ones_and_add_to_lists() {
    let one = "lists: {tools: [nc]}\nmacros: {name: basename(process.executable.path)}\nrules:\n".to_owned()
        + &rule("tool", "event.name == \"exec\" && name in tools", "")
        + &rule("off", "event.name == \"exec\"", "");
    let two = "lists: {tools: {add: [socat]}}\noverrides:\n  - id: tool\n    severity: high\n    add_exceptions:\n      \
        - {condition: container.name == 'builder', reason: builds}\n  - {id: off, enabled: false}\n";
    let (mut rules, problems) = compile_all(&[&one, two]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(matched(&mut rules, &exec("/usr/bin/socat", 0)), ["tool"]);
    let tool = rules.get("tool").unwrap();
    assert_eq!((tool.severity.name(), &*tool.file, tool.line), ("high", "one.yaml", 4));
    let mut json = exec("/usr/bin/nc", 0).json().clone();
    json["container"]["name"] = "builder".into();
    assert!(matched(&mut rules, &Event::new(json).unwrap()).is_empty());
}

#[test]
fn names_mean_the_same_in_each_file() {
    let one = "lists: {a: [x]}\nmacros: {m: event.name == 'exec'}\nrules:\n".to_owned() + &rule("r", "m", "");
    let same = "lists: {a: [x]}\nmacros: {m: event.name == 'exec'}\n";
    assert_eq!(compile_all(&[&one, same]).1, Vec::<String>::new());
    let other = "lists: {a: [y]}\nmacros: {m: event.name == 'open'}\n";
    let (rules, problems) = compile_all(&[&one, other]);
    assert_eq!(
        problems,
        [
            "two.yaml:1:9: a: it is defined already, at one.yaml:1",
            "two.yaml:2:10: m: it is defined already, at one.yaml:2",
        ]
    );
    assert!(rules.get("r").is_some());
}

#[test]
fn a_rule_with_a_rate_speaks_once_so_many_matched_within_the_time() {
    let text = "rules:\n".to_owned()
        + &rule(
            "many",
            "event.name == \"exec\"",
            "    rate: {count: 3, within: 1s, by: [process.executable.path]}\n",
        );
    let (mut rules, _) = compile(&text);
    let mut at = |program: &str, ms| !matched(&mut rules, &exec(program, ms)).is_empty();
    assert_eq!([at("a", 0), at("a", 600), at("b", 700), at("a", 1100)], [false; 4]);
    assert!(at("a", 1200), "of 600, 1100 and 1200");
    assert!(!at("a", 1300), "it has begun anew");
    assert!(!at("a", 1250), "what comes late does no harm");
    assert!(at("a", 1400));
}

#[test]
fn a_rate_can_count_different_values() {
    let text = "rules:\n".to_owned()
        + &rule(
            "many",
            "event.name == \"exec\"",
            "    rate: {count: 3, within: 1s, by: [event.name], distinct: [process.executable.path]}\n",
        );
    let (mut rules, problems) = compile(&text);
    assert!(problems.is_empty(), "{problems:?}");
    let mut at = |program: &str, ms| !matched(&mut rules, &exec(program, ms)).is_empty();
    assert!((0..1000).all(|ms| !at("a", ms)), "one value is one");
    assert_eq!([at("b", 1000), at("a", 1100)], [false; 2]);
    assert!(!at("c", 2050), "b was too long ago");
    assert!(at("d", 2060), "of a, c and d");
    assert_eq!([at("a", 2070), at("d", 2080)], [false; 2], "it has begun anew");
    assert!(at("c", 2090));
    let (_, problems) = compile(&text.replace("process.executable.path]}", "x]}"));
    assert!(problems[0].contains("no tracer has a member \"x\""), "{problems:?}");
}

#[test]
fn counts_of_rates_are_bounded_and_survive_a_reload() {
    let text = "rules:\n".to_owned()
        + &rule(
            "many",
            "event.name == \"exec\"",
            "    rate: {count: 2, within: 1h, by: [process.executable.path]}\n",
        );
    let (mut rules, _) = compile(&text);
    for n in 0..5000 {
        assert!(matched(&mut rules, &exec(&n.to_string(), 0)).is_empty());
    }
    assert_eq!(rules.evicted(), 5000 - 4096);
    let (mut new, _) = compile(&text);
    new.keep_rates_of(&rules);
    assert_eq!(matched(&mut new, &exec("4999", 1)), ["many"]);
    assert!(matched(&mut new, &exec("0", 1)).is_empty(), "it was forgotten");
    let (mut other, _) = compile(&text.replace("1h", "2h"));
    other.keep_rates_of(&new);
    assert!(matched(&mut other, &exec("4998", 1)).is_empty());
}

#[test]
fn a_summary_says_what_the_event_has_and_nothing_that_a_terminal_obeys() {
    let text = "rules:\n  - id: x\n    severity: low\n    condition: event.name == 'exec'\n    \
        summary: \"{process.comm} ran {process.command_args} {exec.tty} as {process.pid}\"\n";
    let (rules, problems) = compile(text);
    assert_eq!(problems, Vec::<String>::new());
    let rule = rules.get("x").unwrap();
    assert_eq!(rule.told(&exec("/bin/\u{202e}x", 0)), "x\\u{1b}[0m ran /bin/\\u{202e}x a b  as 7");
    assert_eq!(rule.told(&exec(&"é".repeat(300), 0)).matches('é').count(), 120);
}

#[test]
fn only_rules_that_ask_for_an_event_are_asked() {
    let text = "rules:\n".to_owned()
        + &rule("one", "event.name == \"exec\"", "")
        + &rule("any", "process.user_id == 0", "")
        + &rule("off", "event.name == \"open\"", "    enabled: false\n");
    let (rules, problems) = compile(&text);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(rules.index["exec"], [0, 1]);
    assert!(rules.ask_for("nobody-knows"));
    assert_eq!(reference::needs(rules.get("one").unwrap()), "exec");
    assert_eq!(reference::needs(rules.get("any").unwrap()), "any");
    let (rules, _) = compile(&("rules:\n".to_owned() + &rule("one", "event.name == \"exec\"", "")));
    assert!(rules.ask_for("exec") && !rules.ask_for("open"));
}

#[test]
fn whatever_a_file_has_nothing_breaks() {
    let text =
        "lists: {a: [x, 'é']}\nmacros:\n  m: >-\n    event.name == \"exec\" &&\n      has(exec.tty)\nrules:\n"
            .to_owned()
            + &rule(
                "one",
                "m && process.command_args.exists(a, a.glob(['/é*', \"[a-z]\"]))",
                "    rate: {count: 3, within: 1s}\n",
            ) + "overrides:\n  - {id: one, tags: [T1]}\n";
    let pieces = [
        "\"", "'", "[", "{", ":", "\n", "é", "&", "*", "(", "\0", "!", "- ", "|", "\t", "\\", ".", "😀",
        "&&", "1e999", "#",
    ];
    // Of a generator of numbers that is always the same.
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..1000 {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..=next(4) {
            let at = next(chars.len());
            let until = (at + next(3)).min(chars.len());
            chars.splice(at..until, pieces[next(pieces.len())].chars());
        }
        let (mut rules, problems) = compile(&chars.iter().collect::<String>());
        rules.matching(&exec("/é", 0));
        assert!(problems.len() < 8, "{problems:?}");
    }
    for length in text.char_indices().map(|(at, _)| at) {
        compile(&text[..length]);
    }
}

#[test]
fn tests_of_rules_say_what_did_not_happen() {
    let (rules, _) = compile(
        &("rules:\n".to_owned()
            + &rule("one", "event.name == \"exec\" && process.pid == 1", "")
            + &rule("rated", "event.name == \"exec\"", "    rate: {count: 3, within: 1s}\n")),
    );
    let run = |events: &str, expect: &str| {
        let text = format!("tests:\n  - name: t\n    events:\n      - {events}\n    expect: [{expect}]\n");
        let outcomes = test::run(&rules, &[source("t.yaml", &text)]);
        (outcomes[0].ok, outcomes[0].what.clone())
    };
    let ok = (true, String::new());
    assert_eq!(run("{event: {name: exec}, process: {pid: 1}}", "one"), ok);
    assert_eq!(run("{event: {name: exec}, process: {pid: 2}, repeat: 3}", "rated"), ok);
    assert_eq!(run("{event: {name: exec}, process: {pid: 2}, repeat: 3, every: 600ms}", ""), ok);
    assert_eq!(run("{event: {name: exec}, process: {pid: 1}}", "").1, "matched, not expected: one");
    assert_eq!(run("{event: {name: exec}, process: {pid: 2}}", "one").1, "not matched: one");
    assert!(run("{event: {name: exec}, proces: {pid: 2}}", "").1.contains("has no member \"proces.pid\""));
    assert!(run("{event: {name: exce}}", "").1.contains("no tracer has an event"));
    assert!(run("{event: {name: exec}}", "two").1.contains("there is no rule \"two\""));
    assert!(run("{event: {name: exec}, repeat: 99999}", "").1.contains("10000 events at most"));
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn shipped() -> Rules {
    let (rules, problems) = Rules::compile(&Rules::shipped(), Some(&Meanings::shipped()));
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
    rules
}

#[test]
fn each_shipped_rule_has_a_test_of_what_it_is_for_and_one_of_something_near() {
    let rules = shipped();
    let mut tests: Vec<_> =
        std::fs::read_dir(folder("rules/tests")).unwrap().map(|e| e.unwrap().path()).collect();
    tests.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    tests.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let tests: Vec<_> = tests
        .iter()
        .map(|path| Source { name: name(path), text: std::fs::read_to_string(path).unwrap() })
        .collect();
    let outcomes = test::run(&rules, &tests);
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|o| !o.ok)
        .map(|o| format!("{}:{}: {}: {}", o.file, o.line, o.name, o.what))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let expected: BTreeSet<_> = outcomes.iter().flat_map(|o| o.expect.iter().map(String::as_str)).collect();
    let near: BTreeSet<_> = outcomes.iter().flat_map(|o| o.near.iter().map(String::as_str)).collect();
    for rule in rules.iter() {
        assert!(expected.contains(&*rule.id), "no test expects {}", rule.id);
        assert!(near.contains(&*rule.id), "no test is near {}", rule.id);
    }
}

#[test]
fn each_shipped_rule_says_why_and_what_of_attack_it_is() {
    for rule in shipped().iter() {
        assert!(rule.description.len() > 60, "{} has no description", rule.id);
        assert!(rule.tags.iter().any(|tag| tag.starts_with('T')), "{} has no technique", rule.id);
        assert!(!rule.tracers.is_empty() && rule.events.is_some(), "{} asks of any event", rule.id);
    }
}

#[test]
fn the_table_of_the_document_is_that_of_the_rules() {
    let path = folder("docs/rules.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = document.split_once(reference::BEGIN).unwrap();
    let (table, _) = rest.split_once(reference::END).unwrap();
    assert_eq!(
        table.trim(),
        reference::table(&shipped()).trim(),
        "run `cargo run -p remora-alert --example rules_reference`"
    );
}

#[test]
fn what_the_document_shows_is_right() {
    let document = std::fs::read_to_string(folder("docs/rules.md")).unwrap();
    let blocks: Vec<_> =
        document.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let mut files = Rules::shipped();
    files.push(source("mine.yaml", blocks[0]));
    let (rules, problems) = Rules::compile(&files, Some(&Meanings::shipped()));
    assert_eq!(problems, []);
    // The shipped ones may have something to say of it, too.
    for outcome in test::run(&rules, &[source("tests.yaml", blocks[1])]) {
        let matched = !outcome.what.contains("not matched: ");
        assert!(outcome.ok || (matched && !outcome.what.contains("compiler-in-service")), "{}", outcome.what);
    }
}
