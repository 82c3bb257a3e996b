//! What an expression needs of an event before it can be true.

use std::collections::BTreeSet;

use super::node::{Comparison, Node};
use super::terms::{EVENT_NAME, EVENT_TRACER};
use super::value::Value;

/// Names, or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    Any,
    Of(BTreeSet<String>),
}

impl Names {
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(all) => all.contains(name),
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, names) | (names, Self::Any) => names,
            (Self::Of(a), Self::Of(b)) => Self::Of(a.intersection(&b).cloned().collect()),
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(a), Self::Of(b)) => Self::Of(a.union(&b).cloned().collect()),
            _ => Self::Any,
        }
    }
}

pub fn names(node: &Node) -> Names {
    of(node, EVENT_NAME)
}

pub fn tracers(node: &Node) -> Names {
    of(node, EVENT_TRACER)
}

fn of(node: &Node, term: usize) -> Names {
    match node {
        Node::Shared(_, inner) => of(inner, term),
        Node::And(all) => all.iter().fold(Names::Any, |names, part| names.and(of(part, term))),
        Node::Or(all) => all.iter().fold(Names::Of(BTreeSet::new()), |names, part| names.or(of(part, term))),
        Node::Compare(Comparison::Equal, sides) => match &**sides {
            [Node::Term(asked), Node::Constant(Value::Text(name))]
            | [Node::Constant(Value::Text(name)), Node::Term(asked)]
                if *asked == term =>
            {
                Names::Of([name.to_string()].into())
            }
            _ => Names::Any,
        },
        Node::Among(what, set) => match (&**what, set.texts()) {
            (Node::Term(asked), Some(texts)) if *asked == term => Names::Of(texts.iter().cloned().collect()),
            _ => Names::Any,
        },
        _ => Names::Any,
    }
}

pub fn terms(node: &Node, all: &mut Vec<usize>) {
    if let Node::Term(term) | Node::HasTerm(term) = node
        && !all.contains(term)
    {
        all.push(*term);
    }
    node.parts().into_iter().for_each(|part| terms(part, all));
}
