//! What is wrong with a file of rules, and where.

use std::fmt;

use crate::expression::ExpressionError;
use crate::yaml::{Node, Place, YamlError};

/// A file of rules, read; not yet compiled.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name in errors.
    pub name: String,
    pub text: String,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub column: usize,
    /// The rule in question, or "".
    pub rule: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        match self.rule.as_str() {
            "" => f.write_str(&self.what),
            rule => write!(f, "rule {rule}: {}", self.what),
        }
    }
}

impl Problem {
    pub(super) fn new(source: &Source, rule: &str, error: YamlError) -> Self {
        let Place { line, column } = error.place;
        Self { file: source.name.clone(), line, column, rule: rule.to_owned(), what: error.what }
    }
}

/// An expression's error, where it shows in the file: white space is all that YAML changes of a text.
pub(super) fn within(source: &Source, node: &Node, error: ExpressionError) -> YamlError {
    let text = node.text().unwrap_or_default();
    let visible = |c: &char| !c.is_whitespace();
    let before = text[..error.at].chars().filter(visible).count();
    let rest = source.text.get(node.at..).unwrap_or_default();
    let skip = match rest.as_bytes().first() {
        Some(b'"' | b'\'') => 1,
        Some(b'|' | b'>') => rest.find('\n').map_or(0, |at| at + 1),
        _ => 0,
    };
    let mut places = rest[skip..].char_indices().filter(|(_, c)| visible(c)).map(|(at, _)| at);
    let at = node.at + skip + places.nth(before).unwrap_or_default();
    let line_start = source.text[..at].rfind('\n').map_or(0, |at| at + 1);
    let line = source.text[..at].matches('\n').count() + 1;
    let column = source.text[line_start..at].chars().count() + 1;
    YamlError::new(Place { line, column }, error.what)
}
