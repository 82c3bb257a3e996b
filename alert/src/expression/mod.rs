//! Expressions over events, in the Common Expression Language: what an event's JSON has is a variable or a member of one.
//! A parsed expression is bound once (paths numbered, lists sorted, patterns read) and then asked of each event as it is.

mod bind;
mod evaluate;
mod filter;
mod fold;
mod functions;
mod glob;
mod need;
mod network;
mod node;
mod reserved;
mod terms;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use cel::IdedExpr;
use cel::parser::PrattParser;
use serde_json::Value as Json;

pub use filter::Filter;
pub use glob::Glob;
pub use need::Names;
pub use network::Network;
pub use terms::{Terms, View};

use node::Node;

/// Longest expression, in bytes.
const LENGTH_MAX: usize = 4096;
/// Most operators and operands: each may be looked at for each event.
const NODES_MAX: usize = 1024;
/// Brackets within brackets.
const DEPTH_MAX: u16 = 24;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ExpressionError {
    /// Byte of the text where it shows.
    pub at: usize,
    pub what: String,
}

impl ExpressionError {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

/// What has been read but not yet bound: a name may still stand for a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    text: String,
    root: IdedExpr,
}

impl Parsed {
    pub fn read(text: &str) -> Result<Self, ExpressionError> {
        Self::within(text, LENGTH_MAX, NODES_MAX)
    }

    /// Of at most so many bytes, and operators and operands.
    fn within(text: &str, length: usize, nodes: usize) -> Result<Self, ExpressionError> {
        if text.len() > length {
            let what = format!("the expression is longer than {length} bytes");
            return Err(ExpressionError::new(0, what));
        }
        let parser = PrattParser::new().max_recursion_depth(DEPTH_MAX);
        let root = parser.parse(&reserved::masked(text)).map_err(|errors| match errors.errors.first() {
            Some(e) => {
                let what = e.msg.trim_start_matches("Syntax error: ");
                ExpressionError::new(offset(text, e.pos), format!("the expression cannot be read: {what}"))
            }
            None => ExpressionError::new(0, "the expression cannot be read"),
        })?;
        bind::measure(&root, nodes)?;
        Ok(Self { text: text.to_owned(), root })
    }
}

/// Limits have no place: their line is 0.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let (Ok(line), Ok(column)) = (usize::try_from(line), usize::try_from(column)) else { return 0 };
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = (before + column.saturating_sub(1)).min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default()
}

/// What names stand for, other than members of the event.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// Texts, numbers and booleans.
    pub lists: BTreeMap<String, Vec<Json>>,
    pub macros: BTreeMap<String, Parsed>,
    /// Names whose definitions cannot be used.
    pub refused: BTreeSet<String>,
}

/// Bound to the terms that it was bound with.
#[derive(Debug, Clone)]
pub struct Expression {
    root: Node,
}

impl Expression {
    pub fn bind(parsed: &Parsed, with: &Definitions, terms: &mut Terms) -> Result<Self, ExpressionError> {
        Ok(Self { root: bind::bind(&parsed.root, &parsed.text, with, terms)? })
    }

    /// Whether it is true; what asks for something that the event does not have is not.
    pub fn holds<'e>(&'e self, view: &View<'e>) -> bool {
        evaluate::holds(&self.root, view)
    }

    /// The events that it can be true of.
    pub fn names(&self) -> Names {
        need::names(&self.root)
    }

    /// The tracers whose events it can be true of.
    pub fn tracers(&self) -> Names {
        need::tracers(&self.root)
    }

    /// Numbers of the terms it asks for.
    pub fn asks(&self) -> Vec<usize> {
        let mut all = Vec::new();
        need::terms(&self.root, &mut all);
        all
    }
}
