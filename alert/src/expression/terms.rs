//! Members of events that expressions ask for: numbered, so that each is looked up once for all that ask.

use std::cell::Cell;

use serde_json::{Map, Value as Json};

#[derive(Debug, Clone)]
pub struct Terms {
    paths: Vec<Box<[Box<str>]>>,
}

pub(super) const EVENT_NAME: usize = 0;
pub(super) const EVENT_TRACER: usize = 1;

impl Default for Terms {
    fn default() -> Self {
        let mut terms = Self { paths: Vec::new() };
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
}

#[derive(Debug, Clone, Copy)]
enum Found<'e> {
    NotAsked,
    Is(Option<&'e Json>),
}

impl<'e> View<'e> {
    pub fn new(terms: &'e Terms, event: &'e Map<String, Json>) -> Self {
        Self { terms, event, found: vec![Cell::new(Found::NotAsked); terms.paths.len()] }
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
