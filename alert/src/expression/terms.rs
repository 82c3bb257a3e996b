//! What expressions ask for in common, members of events and macros: numbered, so that each is found once an event for
//! all that ask.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::node::Node;
use super::value::Value;
use crate::event;

#[derive(Debug, Clone)]
pub struct Terms {
    members: Vec<Member>,
    macros: BTreeMap<String, Node>,
    shared: usize,
}

/// A member's name, and the number of what it is a member of.
#[derive(Debug, Clone, PartialEq)]
struct Member {
    of: Option<usize>,
    name: Box<str>,
}

pub(super) const EVENT_NAME: usize = 1;
pub(super) const EVENT_TRACER: usize = 2;

impl Default for Terms {
    fn default() -> Self {
        let mut terms = Self { members: Vec::new(), macros: BTreeMap::new(), shared: 0 };
        terms.number(&["event", "name"]);
        terms.number(&["event", "tracer"]);
        terms
    }
}

impl Terms {
    /// Of at least one name.
    pub fn number(&mut self, path: &[&str]) -> usize {
        let root = self.member(None, path[0]);
        path[1..].iter().fold(root, |of, name| self.member(Some(of), name))
    }

    pub(super) fn member(&mut self, of: Option<usize>, name: &str) -> usize {
        let same = |other: &Member| other.of == of && *other.name == *name;
        self.members.iter().position(same).unwrap_or_else(|| {
            self.members.push(Member { of, name: name.into() });
            self.members.len() - 1
        })
    }

    /// Dotted.
    pub fn path(&self, number: usize) -> String {
        let member = &self.members[number];
        match member.of {
            Some(of) => format!("{}.{}", self.path(of), member.name),
            None => member.name.to_string(),
        }
    }

    pub(super) fn bound(&self, name: &str) -> Option<Node> {
        self.macros.get(name).cloned()
    }

    /// What takes no time is not worth being remembered.
    pub(super) fn share(&mut self, name: &str, node: Node) -> Node {
        let node = match node {
            node if node.cost() <= 2 => node,
            node => {
                self.shared += 1;
                Node::Shared(self.shared - 1, Arc::new(node))
            }
        };
        self.macros.insert(name.to_owned(), node.clone());
        node
    }
}

/// One event, with what has been looked up of it.
#[derive(Debug)]
pub struct View<'e> {
    terms: &'e Terms,
    event: &'e Map<String, Json>,
    found: Vec<Cell<Found<'e>>>,
    shared: Vec<OnceCell<Option<Value<'e>>>>,
}

#[derive(Debug, Clone, Copy)]
enum Found<'e> {
    NotAsked,
    Is(Option<&'e Json>),
}

impl<'e> View<'e> {
    pub fn new(terms: &'e Terms, event: &'e Map<String, Json>) -> Self {
        let found = vec![Cell::new(Found::NotAsked); terms.members.len()];
        Self { terms, event, found, shared: vec![OnceCell::new(); terms.shared] }
    }

    pub(super) fn shared(&self, number: usize) -> &OnceCell<Option<Value<'e>>> {
        &self.shared[number]
    }

    pub fn get(&self, term: usize) -> Option<&'e Json> {
        let place = &self.found[term];
        if let Found::Is(found) = place.get() {
            return found;
        }
        let member = &self.terms.members[term];
        let found = match member.of {
            None => event::member(self.event, &member.name),
            Some(of) => self.get(of).and_then(|of| event::member(of.as_object()?, &member.name)),
        };
        place.set(Found::Is(found));
        found
    }
}
