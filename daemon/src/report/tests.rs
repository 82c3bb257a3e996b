use serde_json::json;

use super::*;
use crate::tracer::contract::FieldDescription;

fn meaning(role: &str, features: &[&str]) -> Meaning {
    let field = |name: &str, kind, feature| FieldDescription {
        name: name.to_owned(),
        kind,
        help: String::new(),
        optional: false,
        feature,
        counter: false,
    };
    let mut fields: Vec<_> = features.iter().map(|f| field(f, "path", true)).collect();
    fields.push(field("e.error", "errno", false));
    let report = (!role.is_empty()).then(|| role.to_owned());
    Meaning::from(&EventDescription { name: String::new(), help: "help".into(), report, fields })
}

fn builder() -> Builder {
    let mut builder = Builder::new(&[]);
    let all = [
        ("run", "executed", vec![]),
        ("end", "ended", vec![]),
        ("read", "opened", vec!["file.path"]),
        ("odd", "", vec![]),
    ];
    for (name, role, features) in all {
        builder.meanings.insert(("t".into(), name.into()), meaning(role, &features));
    }
    builder
}

fn event(builder: &mut Builder, name: &str, more: &serde_json::Value) {
    let mut event = json!({ "time": "2026-01-01T00:00:00Z", "event": { "tracer": "t", "name": name } });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    builder.event(event.to_string().as_bytes());
}

fn run(builder: &mut Builder, pid: u64, parent: u64, args: &[&str]) {
    let process = json!({ "process": { "pid": pid, "parent_pid": parent, "command_args": args,
        "executable": { "path": args[0] } } });
    event(builder, "run", &process);
}

fn end(builder: &mut Builder, pid: u64, parent: u64, code: u64) {
    let what =
        json!({ "process": { "pid": pid, "parent_pid": parent }, "end": { "code": code, "took": 0.5 } });
    event(builder, "end", &what);
}

/// `name[xTIMES](children)`
fn drawn(processes: &[Process]) -> String {
    let one = |p: &Process| {
        let names: Vec<&str> = p.commands.iter().map(|c| c.executable.as_str()).collect();
        let times = if p.times > 1 { format!("x{}", p.times) } else { String::new() };
        let below = if p.children.is_empty() { String::new() } else { format!("({})", drawn(&p.children)) };
        format!("{}{times}{below}", names.join(">"))
    };
    processes.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn tree(builder: Builder) -> String {
    drawn(&builder.processes.finish().0)
}

#[test]
fn processes_are_a_tree_and_what_is_alike_is_one() {
    let mut b = builder();
    run(&mut b, 10, 1, &["sh"]);
    for pid in [11, 12, 13] {
        run(&mut b, pid, 10, &["ls"]);
        end(&mut b, pid, 10, 0);
    }
    run(&mut b, 14, 10, &["ls"]);
    end(&mut b, 14, 10, 2);
    run(&mut b, 10, 1, &["nginx"]);
    assert_eq!(tree(b), "sh>nginx(lsx3 ls)");
}

#[test]
fn a_copy_of_its_parent_stands_between_them() {
    let mut b = builder();
    run(&mut b, 10, 1, &["sh"]);
    run(&mut b, 12, 11, &["ls"]);
    end(&mut b, 12, 11, 0);
    end(&mut b, 11, 10, 0);
    assert_eq!(tree(b), "sh((ls))");
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let mut b = builder();
    run(&mut b, 10, 1, &["a"]);
    end(&mut b, 10, 1, 0);
    run(&mut b, 10, 1, &["b"]);
    run(&mut b, 20, 10, &["c"]);
    // Nobody is his own parent, whatever is said.
    run(&mut b, 30, 30, &["d"]);
    end(&mut b, 30, 30, 0);
    assert_eq!(tree(b), "a b(c) d");
}

#[test]
fn very_deep_trees_and_very_many_processes_are_cut() {
    let mut b = builder();
    for pid in 0..6000 {
        run(&mut b, pid + 2, pid + 1, &["x"]);
    }
    let (processes, more) = b.processes.finish();
    let depth = |p: &Process| {
        let (mut at, mut depth) = (p, 1);
        while let Some(next) = at.children.first() {
            (at, depth) = (next, depth + 1);
        }
        depth
    };
    assert_eq!((depth(&processes[0]), more), (65, 1000));
}

#[test]
fn events_are_added_up_by_their_features() {
    let mut b = builder();
    for (path, error) in [("/a", None), ("/b", None), ("/a", Some("ENOENT"))] {
        event(&mut b, "read", &json!({ "file": { "path": path }, "e": { "error": error, "n": 1 } }));
    }
    event(&mut b, "odd", &json!({}));
    event(&mut b, "unheard", &json!({}));
    b.gap();
    let sections = b.sections.finish();
    let roles: Vec<&str> = sections.iter().map(|s| s.role.as_str()).collect();
    assert_eq!(roles, ["opened", "else"]);
    let first = &sections[0].entries[0];
    assert_eq!((first.times, first.failed, first.error.as_deref()), (2, 1, Some("ENOENT")));
    assert_eq!(first.features["file.path"], "/a");
    assert_eq!(sections[1].entries.len(), 2);
    assert_eq!((b.events, b.gaps), (5, 1));
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut b = builder();
    for i in 0..3000 {
        event(&mut b, "read", &json!({ "file": { "path": format!("/{i}") } }));
    }
    let section = &b.sections.finish()[0];
    assert_eq!((section.entries.len(), section.more), (2000, 1000));
}
