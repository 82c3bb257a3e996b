use std::collections::HashMap;

use cel::{Context, Value as CelValue, parser::PrattParser};
use serde_json::{Map, Value as Json, json};

use super::{Definitions, Expression, Filter, Names, Parsed, Terms, View};

fn event() -> Map<String, Json> {
    let event = json!({"time": "2026-01-01T00:00:00Z", "event": {"name": "exec", "cursor": 7},
        "container": {"name": "web", "id": ""}, "k8s": {"pod": {"label": {"app.io/x": "1"}}},
        "process": {"pid": 12, "command_args": ["sh", "-c", "true"], "executable": {"path": "/bin/sh"}},
        "exit": {"code": 3, "signal": "", "ok": false, "none": null}, "share": 0.5, "big": u64::MAX, "minus": -4,
        "empty": [], "numbers": [1, 2, 3], "mixed": [1, "a", true, 2.5], "people": [{"name": "a"}, {"name": "b"}],
        "net": {"peer": "10.1.2.3"}, "namespace": {"flags": "x"}});
    event.as_object().cloned().unwrap()
}

fn holds(text: &str) -> bool {
    Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).holds(&event())
}

/// The `cel` crate's own interpreter.
fn reference(text: &str) -> bool {
    fn value(json: Json) -> CelValue {
        match json {
            Json::Null => CelValue::Null,
            Json::Bool(yes) => yes.into(),
            Json::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => n.into(),
                (None, Some(n)) => n.into(),
                (None, None) => n.as_f64().unwrap().into(),
            },
            Json::String(text) => text.into(),
            Json::Array(all) => all.into_iter().map(value).collect::<Vec<_>>().into(),
            Json::Object(all) => {
                all.into_iter().map(|(k, v)| (k, value(v))).collect::<HashMap<_, _>>().into()
            }
        }
    }
    let root = PrattParser::new().parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut context = Context::default();
    event().into_iter().for_each(|(name, member)| context.add_variable_from_value(name, value(member)));
    CelValue::resolve(&root, &context) == Ok(CelValue::Bool(true))
}

/// What operands there are, in each operator; and forms that these do not reach.
fn corpus() -> Vec<String> {
    let operands = [
        "exit.code",
        "3",
        "3u",
        "3.0",
        "minus",
        "-4",
        "big",
        "share",
        "exit.signal",
        "''",
        "container.name",
        "'web'",
        "exit.ok",
        "true",
        "exit.none",
        "null",
        "empty",
        "[]",
        "numbers",
        "[1, 2, 3]",
        "mixed",
        "missing",
        "exit.missing",
        "process.executable.path",
        "people[0].name",
        "people[9].name",
        "mixed[1]",
        "process",
        "numbers[1]",
        "'a' + 'b'",
        "1 + 1",
        "size(numbers)",
        "exit",
    ];
    let operators = ["==", "!=", "<", "<=", ">", ">=", "&&", "||", "in"];
    let mut all = Vec::new();
    for a in operands {
        for b in operands {
            all.extend(operators.iter().map(|o| format!("({a}) {o} ({b})")));
            all.extend(operators.iter().map(|o| format!("!(({a}) {o} ({b}))")));
            all.extend(["+", "-", "*", "/", "%"].iter().map(|o| format!("({a}) {o} ({b}) == ({a})")));
            all.extend(["contains", "startsWith", "endsWith"].iter().map(|f| format!("({a}).{f}({b})")));
            all.push(format!("(({a}) == ({b})) || exit.code == 3"));
            all.push(format!("(({a}) < ({b})) ? true : false"));
        }
        all.push(format!("size({a}) == 3"));
        all.push(format!("-({a}) == 4"));
        all.push(format!("string({a}) == '3'"));
        all.push(format!("int({a}) == 3"));
        all.push(format!("double({a}) == 3.0"));
        for test in
            ["x == 2", "x > 1", "x == 'a'", "x.name == 'a'", "missing == x", "x", "'e' in x", "size(x) > 0"]
        {
            all.extend(["all", "exists", "exists_one"].iter().map(|l| format!("({a}).{l}(x, {test})")));
            all.push(format!("size(({a}).filter(x, {test})) == 1"));
            all.push(format!("size(({a}).map(x, {test}, x)) == 1"));
            all.push(format!("({a}).map(x, {test}) == [false, true, false]"));
        }
    }
    all
}

#[test]
fn the_language_is_that_of_the_crate() {
    let mut wrong = Vec::new();
    // Of a list, `contains` is ours alone.
    for text in corpus().iter().filter(|text| !text.starts_with("(mixed).contains")) {
        let (ours, theirs) = (holds(text), reference(text));
        if ours != theirs {
            wrong.push(format!("{text}: {ours}, of the crate {theirs}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        corpus().len(),
        wrong[..wrong.len().min(60)].join("\n")
    );
}

#[test]
fn what_the_event_does_not_have_is_not_true_and_no_failure() {
    for no in [
        "file.path == '/x'",
        "!(file.path == '/x')",
        "file.path != '/x'",
        "has(file.path)",
        "has(exit.code.more)",
        "exit.code",
        "'text'",
        "file.path.glob('**')",
        "!in_network(file.path, '10.0.0.0/8')",
        "!in_network(container.name, '10.0.0.0/8')",
        "size(file) == 0",
        "missing",
    ] {
        assert!(!holds(no), "{no}");
    }
    for yes in
        ["file.path == '/x' || exit.code == 3", "!has(file.path)", "!has(exit.code.more)", "has(exit.code)"]
    {
        assert!(holds(yes), "{yes}");
    }
}

#[test]
fn functions_are_our_own_where_containers_need_them() {
    for yes in [
        "basename(process.executable.path) == 'sh' && process.executable.path.dirname() == '/bin'",
        "basename('sh') == 'sh' && dirname('sh') == '' && dirname('/sh') == '/' && basename('/') == ''",
        "clean('/etc//cron.d/./x') == '/etc/cron.d/x' && clean('/tmp/../etc/passwd') == '/etc/passwd'",
        "clean('/..//../a/') == '/a' && clean('/') == '/' && clean('//') == '/' && clean('/a/..') == '/'",
        "clean('a/../../b') == '../b' && clean('../../b') == '../../b' && clean('./a') == 'a' && clean('a/..') == '.'",
        "clean('/a/..b/.c/...') == '/a/..b/.c/...' && clean('') == '' && clean('.') == '.' && clean('/.') == '/'",
        "process.executable.path.clean() == '/bin/sh' && clean('./') == '.' && clean('..') == '..'",
        "glob(process.executable.path, '/bin/*') && process.executable.path.glob(['/x', '/**/sh'])",
        "lower('ÄbC') == 'äbc' && lower('abc') == 'abc'",
        "in_network(net.peer, '10.0.0.0/8') && net.peer.in_network(['192.168.0.0/16', '10.1.0.0/16'])",
        "process.executable.path.startsWith(['/usr/', '/bin/']) && !container.name.endsWith(['x', 'y'])",
        "container.name.contains(['q', 'e']) && process.command_args.contains('-c')",
        "process.command_args.contains(['-x', '-c']) && !process.command_args.contains('-')",
        "k8s.pod.label['app.io/x'] == '1' && has(k8s.pod.label)",
        "namespace.flags == 'x' && has(namespace.flags)",
        "numbers.map(n, n * 2) == [2, 4, 6] && numbers.filter(n, n > 1).size() == 2",
        "people.exists(p, p.name == 'b') && people.map(p, has(p.name), p.name) == ['a', 'b']",
        "event.name in ['exec', 'exit'] && exit.code in [1, 2, 3] && !(exit.code in ['3'])",
    ] {
        assert!(holds(yes), "{yes}");
    }
}

#[test]
fn errors_name_line_and_column() {
    let error = |text: &str| Filter::parse(text).err().unwrap_or_else(|| panic!("{text} is read"));
    for (text, place) in [
        ("exit.code = 3", "line 1, column 11"),
        ("a ==", "line 1, column 5"),
        ("(a == 1", "line 1, column 8"),
        ("a &&\n  b ==", "line 2, column 7"),
        ("a && frob(b)", "line 1, column 6"),
        ("a && size(b, c)", "line 1, column 6"),
        ("a == 1 && b.glob('[')", "line 1, column 19"),
        ("a == 1 && b.glob(c)", "line 1, column 13"),
        ("in_network(b, '10.0.0.0/x')", "line 1, column 16"),
        ("a == {'b': 1}", "line 1, column 6"),
        ("", "line 1, column 1"),
    ] {
        let said = error(text);
        assert!(said.starts_with(place), "{text}: {said}");
    }
}

#[test]
fn what_would_cost_too_much_is_refused() {
    let error = |text: String| Filter::parse(&text).err().unwrap_or_else(|| panic!("{text} is read"));
    assert!(error("a".repeat(5000)).contains("longer than"));
    for many in [
        format!("{}true{}", "!(".repeat(400), ")".repeat(400)),
        "[".repeat(500),
        format!("1{}", "+1".repeat(1000)),
        format!("a{}", ".b".repeat(1500)),
        format!("a{}", "[0]".repeat(1000)),
        "a?b:".repeat(800),
        format!("a{}", "||b".repeat(1300)),
    ] {
        error(many);
    }
    assert!(error("a.all(x, a.all(y, x == y))".to_owned()).contains("within another"));
    Filter::parse("a.all(x, x) && b.exists(y, y)").unwrap();
    let long = format!("a{}", " || b == 'x'".repeat(200));
    bound(&long, &Definitions::default(), &mut Terms::default()).unwrap();
}

fn defined(definitions: &[(&str, &str)]) -> Definitions {
    let mut with = Definitions::default();
    with.lists.insert("shells".into(), vec![json!("sh"), json!("bash"), json!(3)]);
    let read = |&(name, text): &(&str, &str)| (name.to_owned(), Parsed::read(text).unwrap());
    with.macros.extend(definitions.iter().map(read));
    with
}

fn bound(text: &str, with: &Definitions, terms: &mut Terms) -> Result<Expression, String> {
    Expression::bind(&Parsed::read(text).unwrap(), with, terms).map_err(|e| e.what)
}

#[test]
fn macros_and_lists_are_put_in_place_of_their_names() {
    let with = defined(&[
        ("executed", "event.name == 'exec' && has(process.pid)"),
        ("path", "process.executable.path"),
        ("name", "basename(path)"),
        ("item", "x == 'b'"),
        ("long", "people.exists(p, p.name == 'a')"),
    ]);
    let mut terms = Terms::default();
    let event = event();
    for (text, want) in [
        ("executed && name in shells", true),
        ("3 in shells && name.startsWith('s') && path.glob('/bin/*')", true),
        ("people.exists(executed, executed.name == 'b') && executed", true),
        ("numbers.exists(n, n == 2 && long)", true),
        // The loop's variable is not a macro's.
        ("['b'].exists(x, item)", false),
        ("shells.exists(s, s == name)", true),
    ] {
        let expression = bound(text, &with, &mut terms).unwrap();
        assert_eq!(expression.holds(&View::new(&terms, &event)), want, "{text}");
    }
    let with = defined(&[("a", "b && x"), ("b", "!a")]);
    assert!(bound("a", &with, &mut Terms::default()).unwrap_err().contains("needs itself"));
    let mut with = Definitions::default();
    with.refused.insert("gone".into());
    assert!(bound("gone && x", &with, &mut Terms::default()).unwrap_err().contains("was refused"));
}

#[test]
fn macros_cannot_be_stacked_too_high() {
    let names: Vec<_> = (0..400).map(|n| (format!("m{n}"), format!("!m{}", n + 1))).collect();
    let all: Vec<_> = names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let said = bound("m0", &defined(&all), &mut Terms::default()).unwrap_err();
    assert!(said.contains("within each other"), "{said}");
}

#[test]
fn what_is_asked_for_is_known_before_any_event() {
    let with = defined(&[("executed", "event.name == 'exec' && has(exec.tty)")]);
    let of = |all: &[&str]| Names::Of(all.iter().map(|&s| s.to_owned()).collect());
    for (text, names) in [
        ("executed && a == 1", of(&["exec"])),
        ("a == 1 && 'exec' == event.name", of(&["exec"])),
        ("event.name in ['a', 'b'] && event.name in ['b', 'c']", of(&["b"])),
        ("(event.name == 'a' && x) || (event.name == 'b' && y)", of(&["a", "b"])),
        ("event.name == 'a' && event.name == 'b'", of(&[])),
        ("event.name == 'a' || x", Names::Any),
        ("event.name != 'a'", Names::Any),
        ("!(event.name == 'a')", Names::Any),
        ("event.name == 'a' ? x : y", Names::Any),
        ("x", Names::Any),
    ] {
        assert_eq!(bound(text, &with, &mut Terms::default()).unwrap().names(), names, "{text}");
    }
    let mut terms = Terms::default();
    let expression = bound("event.tracer == 'x' && executed && a.b.c == d[0]", &with, &mut terms).unwrap();
    assert_eq!(expression.tracers(), of(&["x"]));
    let mut asks: Vec<_> = expression.asks().into_iter().map(|term| terms.path(term)).collect();
    asks.sort();
    assert_eq!(asks, ["a.b.c", "d", "event.name", "event.tracer", "exec.tty"]);
}
