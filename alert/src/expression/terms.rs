//! What expressions ask for in common, members of events and macros: numbered, so that each is found once an event for
//! all that ask.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::node::Node;
use super::value::Value;

#[derive(Debug, Clone)]
pub struct Terms {
    paths: Vec<Box<[Box<str>]>>,
    macros: BTreeMap<String, Node>,
    shared: usize,
}

pub(super) const EVENT_NAME: usize = 0;
pub(super) const EVENT_TRACER: usize = 1;

impl Default for Terms {
    fn default() -> Self {
        let mut terms = Self { paths: Vec::new(), macros: BTreeMap::new(), shared: 0 };
        terms.number(&["event", "name"]);
        terms.number(&["event", "tracer"]);
        terms
    }
}

impl Terms {
    pub fn number(&mut self, path: &[&str]) -> usize {
        let same = |other: &Box<[Box<str>]>| other.iter().map(|s| &**s).eq(path.iter().copied());
        if let Some(number) = self.paths.iter().position(same) {
            return number;
        }
        self.paths.push(path.iter().map(|&s| s.into()).collect());
        self.paths.len() - 1
    }

    pub fn path(&self, number: usize) -> &[Box<str>] {
        &self.paths[number]
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

    fn find<'e>(&self, number: usize, event: &'e Map<String, Json>) -> Option<&'e Json> {
        let (first, rest) = self.paths[number].split_first()?;
        rest.iter().try_fold(event.get(&**first)?, |at, name| at.as_object()?.get(&**name))
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
        let found = vec![Cell::new(Found::NotAsked); terms.paths.len()];
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
        let found = self.terms.find(term, self.event);
        place.set(Found::Is(found));
        found
    }
}
