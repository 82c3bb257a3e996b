//! An expression, bound.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::glob::Glob;
use super::network::Network;
use super::value::Value;

#[derive(Debug, Clone)]
pub enum Node {
    Constant(Value<'static>),
    /// A member of the event, by the number of its path.
    Term(usize),
    /// What the loop is at.
    Item,
    /// A macro, by its number among those that all expressions share: its value is found once an event.
    Shared(usize, Arc<Node>),
    Member(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    HasTerm(usize),
    HasMember(Box<Node>, String),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    Calculate(Operator, Box<[Node; 2]>),
    Negate(Box<Node>),
    /// Among constants.
    Among(Box<Node>, Set),
    In(Box<[Node; 2]>),
    List(Vec<Node>),
    /// Any of several constants within.
    Contains(Box<Node>, Vec<Finder<'static>>),
    /// Any of several constants at the start, at the end.
    Has(Position, Box<Node>, Vec<String>),
    Within(Position, Box<[Node; 2]>),
    Glob(Box<Node>, Vec<Glob>),
    InNetwork(Box<Node>, Vec<Network>),
    Call(Function, Box<Node>),
    Loop(Box<Loop>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// Where in a text another is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Anywhere,
    Start,
    End,
}

/// Of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Size,
    Basename,
    Dirname,
    Clean,
    Lower,
    Int,
    Uint,
    Double,
    Text,
}

#[derive(Debug, Clone)]
pub struct Loop {
    pub kind: Kind,
    pub over: Node,
    /// What is asked of each element; of `map` without a filter, nothing.
    pub test: Option<Node>,
    /// What `map` makes of each element.
    pub made: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    All,
    Exists,
    ExistsOne,
    /// `map` and `filter`.
    Collect,
}

/// Constants of a list: texts sorted.
#[derive(Debug, Clone)]
pub struct Set {
    texts: Vec<String>,
    /// A bit for each length of a text: most of what is asked for is none of these.
    lengths: u64,
    others: Vec<Value<'static>>,
}

impl Set {
    pub fn new(all: Vec<Value<'static>>) -> Self {
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for value in all {
            match value {
                Value::Text(text) => texts.push(text.into_owned()),
                other => others.push(other),
            }
        }
        texts.sort_unstable();
        texts.dedup();
        let lengths = texts.iter().fold(0, |lengths, text| lengths | length_bit(text));
        Self { texts, lengths, others }
    }

    pub fn has(&self, value: &Value<'_>) -> bool {
        match value.text() {
            Some(text) => {
                self.lengths & length_bit(text) != 0
                    && self.texts.binary_search_by(|one| one.as_str().cmp(text)).is_ok()
            }
            None => self.others.iter().any(|one| one.equals(value)),
        }
    }

    /// If there is nothing but texts.
    pub fn texts(&self) -> Option<&[String]> {
        self.others.is_empty().then_some(&self.texts)
    }
}

fn length_bit(text: &str) -> u64 {
    1 << text.len().min(63)
}

impl Node {
    /// Parts of which it is made.
    pub fn parts(&self) -> Vec<&Node> {
        match self {
            Self::Constant(_) | Self::Term(_) | Self::Item | Self::HasTerm(_) => Vec::new(),
            Self::Shared(_, of) => vec![of],
            Self::Member(of, _)
            | Self::HasMember(of, _)
            | Self::Not(of)
            | Self::Negate(of)
            | Self::Among(of, _)
            | Self::Contains(of, _)
            | Self::Has(_, of, _)
            | Self::Glob(of, _)
            | Self::InNetwork(of, _)
            | Self::Call(_, of) => vec![of],
            Self::Index(of, by) => vec![of, by],
            Self::And(all) | Self::Or(all) | Self::List(all) => all.iter().collect(),
            Self::If(all) => all.iter().collect(),
            Self::Compare(_, all) | Self::Calculate(_, all) | Self::Within(_, all) | Self::In(all) => {
                all.iter().collect()
            }
            Self::Loop(of) => {
                [Some(&of.over), of.test.as_ref(), of.made.as_ref()].into_iter().flatten().collect()
            }
        }
    }

    /// How long it takes, roughly, in comparisons of short texts.
    pub fn cost(&self) -> usize {
        let own = match self {
            // Others have asked for it before, or will.
            Self::Shared(_, of) => return 1 + of.cost() / 4,
            Self::Constant(_) | Self::Item => 0,
            Self::Term(_) | Self::HasTerm(_) | Self::Compare(..) => 1,
            Self::Contains(_, all) => 8 * all.len(),
            Self::Has(_, _, all) => all.len(),
            Self::Glob(_, all) => 4 * all.len(),
            Self::InNetwork(_, all) => 8 + all.len(),
            Self::Loop(_) => 64,
            _ => 3,
        };
        own + self.parts().into_iter().map(Self::cost).sum::<usize>()
    }
}
