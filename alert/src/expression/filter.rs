//! An expression that stands alone, as somebody who reads events gives one.

use serde_json::{Map, Value as Json};

use super::{Definitions, Expression, Parsed, Terms, View};

/// Longest expression, in bytes, and most operators and operands: anybody who may read gives them.
const LENGTH_MAX: usize = 1024;
const NODES_MAX: usize = 128;

#[derive(Debug, Clone)]
pub struct Filter {
    expression: Expression,
    terms: Terms,
}

impl Filter {
    /// The error names line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Terms::default();
        let parsed = Parsed::within(text, LENGTH_MAX, NODES_MAX);
        let bound = parsed.and_then(|p| Expression::bind(&p, &Definitions::default(), &mut terms));
        let expression = bound.map_err(|e| {
            let before = text.get(..e.at).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {line}, column {column}: {}", e.what)
        })?;
        Ok(Self { expression, terms })
    }

    pub fn holds(&self, event: &Map<String, Json>) -> bool {
        self.expression.holds(&View::new(&self.terms, event))
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
        let event = serde_json::from_slice(EVENT).unwrap();
        Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).holds(&event)
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
        for no in ["file.path == '/x'", "exit.status == 0", "has(file.path)", "exit.code == 'three'"] {
            assert!(!holds(no), "{no}");
        }
        assert!(holds("file.path == '/x' || exit.code == 3"));
        assert!(holds("exit.code == 3 || file.path == '/x'"));
    }

    #[test]
    fn errors_name_the_column() {
        let error = |text: &str| Filter::parse(text).err().unwrap_or_else(|| panic!("{text} is read"));
        let wrong = [
            ("exit.code = 3", 11),
            ("a ==", 5),
            ("(a == 1", 8),
            ("a == 'x", 6),
            ("", 1),
            ("a || nothing()", 6),
            ("'é' = 'ü'", 5),
        ];
        for (text, column) in wrong {
            let said = error(text);
            assert!(said.contains(&format!("line 1, column {column}:")), "{text}: {said}");
        }
    }

    #[test]
    fn no_text_is_too_strange_to_be_refused() {
        for text in ["é", "a == 'é", "a ≠ b", "'\u{0}'.x", "\u{feff}a", "a.é", "\n\n é ==", "😀"] {
            let _ = Filter::parse(text);
            let at = Parsed::read(text).map_or_else(|e| e.at, |_| 0);
            assert!(text.is_char_boundary(at), "{text}: {at}");
        }
    }

    #[test]
    fn what_would_cost_too_much_is_refused() {
        let error = |text: String| Filter::parse(&text).err().unwrap_or_else(|| panic!("{text} is read"));
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
        Filter::parse("a.all(x, x) && b.exists(y, y)").unwrap();
    }
}
