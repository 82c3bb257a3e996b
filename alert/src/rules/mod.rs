//! Rules: the floor that needs no learning.

use crate::meaning::Meanings;

/// A file of rules, read; not yet compiled.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name in errors.
    pub name: String,
    pub text: String,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub column: usize,
    /// The rule in question, or "".
    pub rule: String,
    pub what: String,
}

#[derive(Debug, Clone, Default)]
pub struct Rules {}

impl Rules {
    /// Compiles what is right; what is not is named, and the others run. Later files override earlier ones. With meanings,
    /// members that no tracer has are problems, too.
    pub fn compile(_files: &[Source], _meanings: Option<&Meanings>) -> (Self, Vec<Problem>) {
        (Self::default(), Vec::new())
    }
}
