//! Expressions over events, in the Common Expression Language: what an event's JSON has is a variable or a member of one.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Context, Env, IdedExpr, Value,
    common::ast::{EntryExpr, Expr},
    parser::PrattParser,
};
use serde_json::Value as Json;

/// Longest expression, in bytes.
const LENGTH_MAX: usize = 1024;
/// Most operators and operands, those included that a loop stands for: each is looked at for each event.
const NODES_MAX: usize = 128;
/// Brackets within brackets.
const DEPTH_MAX: u16 = 24;

pub struct Expression {
    root: IdedExpr,
    /// Functions and operators of the language.
    language: Arc<Env>,
}

impl Expression {
    /// The error names the column, or the limit.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("the expression is longer than {LENGTH_MAX} bytes"));
        }
        let parser = PrattParser::new().max_recursion_depth(DEPTH_MAX);
        let root = parser.parse(text).map_err(|errors| match errors.errors.first() {
            // Limits have no place.
            Some(e) if e.pos.1 < 1 => format!("the expression cannot be read: {}", e.msg),
            Some(e) => {
                format!("the expression cannot be read at line {}, column {}: {}", e.pos.0, e.pos.1, e.msg)
            }
            None => "the expression cannot be read".to_owned(),
        })?;
        let (nodes, loops) = measure(&root);
        if nodes > NODES_MAX {
            return Err(format!(
                "the expression has {nodes} operators and operands, at most {NODES_MAX} are taken"
            ));
        }
        if loops > 1 {
            return Err("the expression has all, exists, map or filter within another of them".to_owned());
        }
        Ok(Self { root, language: Arc::new(Env::stdlib()) })
    }

    /// Whether it is true of an event; what asks for something that the event does not have is not.
    pub fn holds(&self, event: &[u8]) -> bool {
        let Ok(Json::Object(members)) = serde_json::from_slice(event) else { return false };
        let mut context = Context::with_env(self.language.clone());
        members.into_iter().for_each(|(name, member)| context.add_variable_from_value(name, value(member)));
        Value::resolve(&self.root, &context) == Ok(Value::Bool(true))
    }
}

/// Whole numbers are signed where they fit, as literals are: the language does not calculate with one of each.
fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(yes) => yes.into(),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(n), _) => n.into(),
            (None, Some(n)) => n.into(),
            (None, None) => n.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => text.into(),
        Json::Array(all) => all.into_iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(all) => all.into_iter().map(|(k, v)| (k, value(v))).collect::<HashMap<_, _>>().into(),
    }
}

/// How many parts it has, and how many of the loops are within each other.
fn measure(at: &IdedExpr) -> (usize, usize) {
    let parts = parts(&at.expr).into_iter().map(measure);
    let (nodes, loops) = parts.fold((1, 0), |all, part| (all.0 + part.0, all.1.max(part.1)));
    (nodes, loops + usize::from(matches!(at.expr, Expr::Comprehension(_))))
}

fn parts(of: &Expr) -> Vec<&IdedExpr> {
    fn of_entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
        match entry {
            EntryExpr::StructField(field) => vec![&field.value],
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        }
    }
    match of {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&*select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(|e| of_entry(&e.expr)).collect(),
        Expr::Struct(of) => of.entries.iter().flat_map(|e| of_entry(&e.expr)).collect(),
        Expr::Comprehension(c) => vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &[u8] =
        br#"{"time":"2026-01-01T00:00:00Z","event":{"name":"exec","cursor":7},"container":{"name":"web"},
        "process":{"pid":12,"command_args":["sh","-c","true"],"executable":{"path":"/bin/sh"}},
        "exit":{"code":3,"signal":""},"share":0.5,"big":18446744073709551615}"#;

    fn holds(text: &str) -> bool {
        Expression::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).holds(EVENT)
    }

    #[test]
    fn what_the_event_says_is_asked_by_name() {
        for yes in [
            "exit.code != 0",
            "exit.code == 3 && process.executable.path.startsWith('/bin/')",
            "event.name in ['exec', 'exit']",
            "size(process.command_args) == 3 && '-c' in process.command_args",
            "process.command_args.exists(a, a.endsWith('e'))",
            "has(exit.code) && !has(exit.status)",
            "big > 18446744073709551614u",
            "exit.code >= 3 ? true : false",
            "exit.code % 2 + 1 == 2 && share > 0.25 && share * 2.0 == 1.0",
            "time > '2025'",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in
            ["exit.code == 0", "process.pid < 5", "container.name.contains('db')", "exit.code", "'text'"]
        {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_true_and_no_failure() {
        for no in
            ["file.path == '/x'", "exit.status == 0", "has(file.path)", "exit.code == 'three'", "nothing()"]
        {
            assert!(!holds(no), "{no}");
        }
        assert!(holds("file.path == '/x' || exit.code == 3"));
        assert!(holds("exit.code == 3 || file.path == '/x'"));
        assert!(!Expression::parse("true").unwrap().holds(b"no JSON"));
    }

    #[test]
    fn errors_name_the_column() {
        let error = |text: &str| Expression::parse(text).err().unwrap_or_else(|| panic!("{text} is read"));
        for (text, column) in [("exit.code = 3", 11), ("a ==", 5), ("(a == 1", 8), ("a == 'x", 6), ("", 1)] {
            let said = error(text);
            assert!(said.contains(&format!("line 1, column {column}:")), "{text}: {said}");
        }
    }

    #[test]
    fn what_would_cost_too_much_is_refused() {
        let error = |text: String| Expression::parse(&text).err().unwrap_or_else(|| panic!("{text} is read"));
        assert!(error("a".repeat(2000)).contains("longer than"));
        for many in [
            format!("{}true", "!(".repeat(400)),
            "[".repeat(500),
            format!("1{}", "+1".repeat(300)),
            format!("a{}", ".b".repeat(300)),
            format!("a{}", "[0]".repeat(300)),
            "a?b:".repeat(200),
        ] {
            error(many);
        }
        let nested = "a.all(x, a.all(y, x == y))";
        assert!(error(nested.to_owned()).contains("within another"));
        Expression::parse("a.all(x, x) && b.exists(y, y)").unwrap();
    }
}
