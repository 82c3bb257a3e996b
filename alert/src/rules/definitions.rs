//! Lists and macros of all files: one name means the same in each of them.

use std::collections::BTreeMap;

use super::draft::Condition;
use super::problem::{self, Problem, Source};
use crate::expression::{Definitions, Expression, Terms};
use crate::yaml::{Data, Members, Node, YamlError};

/// Most elements of one list.
const ELEMENTS_MAX: usize = 4096;
/// Names that are an event's.
const MEMBERS: [&str; 4] = ["event", "container", "k8s", "time"];

#[derive(Default)]
struct Reader {
    definitions: Definitions,
    /// Where each was defined first.
    places: BTreeMap<String, String>,
}

pub fn read(files: &[(&Source, Node)], problems: &mut Vec<Problem>) -> (Definitions, Terms) {
    let mut reader = Reader::default();
    let mut macros = Vec::new();
    for (source, node) in files {
        for (name, value) in members(source, node, "lists", problems) {
            if let Err(e) = reader.list(source, name, value) {
                problems.push(reader.refuse(source, name, e));
            }
        }
        for (name, value) in members(source, node, "macros", problems) {
            match reader.named(source, name, value) {
                Ok(condition) => macros.push((*source, name, condition)),
                Err(e) => problems.push(reader.refuse(source, name, e)),
            }
        }
    }
    let mut terms = Terms::default();
    for (source, name, condition) in macros {
        if let Err(e) = Expression::bind(&condition.parsed, &reader.definitions, &mut terms) {
            problems.push(reader.refuse(source, name, problem::within(source, condition.node, e)));
        }
    }
    (reader.definitions, terms)
}

fn members<'n>(
    source: &Source,
    file: &'n Node,
    member: &str,
    problems: &mut Vec<Problem>,
) -> &'n [(Node, Node)] {
    let part = file.map().unwrap_or_default().iter().find(|(key, _)| key.text() == Ok(member));
    match part.map_or(Ok(Default::default()), |(_, all)| all.map()) {
        Ok(all) => all,
        Err(e) => {
            problems.push(Problem::new(source, "", e));
            &[]
        }
    }
}

fn name_of(node: &Node) -> Result<&str, YamlError> {
    let name = node.text()?;
    let taken = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match name.chars().next() {
        Some(first) if name.chars().all(taken) && !first.is_ascii_digit() && !MEMBERS.contains(&name) => {
            Ok(name)
        }
        _ => Err(node
            .error(format!("{name:?} cannot be a name: letters, digits and _, and no member of each event"))),
    }
}

impl Reader {
    /// Rules that need it are refused, too; where another file has defined it, that stands.
    fn refuse(&mut self, source: &Source, name: &Node, mut error: YamlError) -> Problem {
        if let Ok(text) = name.text() {
            let here = place(source, name);
            if self.places.get(text).is_none_or(|first| *first == here) {
                self.definitions.refused.insert(text.to_owned());
            }
            error.what = format!("{text}: {}", error.what);
        }
        Problem::new(source, "", error)
    }

    fn new_name<'n>(&mut self, source: &Source, node: &'n Node) -> Result<&'n str, YamlError> {
        let name = name_of(node)?;
        match self.places.get(name) {
            Some(place) => Err(node.error(format!("it is defined already, at {place}"))),
            None => {
                self.places.insert(name.to_owned(), place(source, node));
                Ok(name)
            }
        }
    }

    /// A list, or what is added to one.
    fn list(&mut self, source: &Source, key: &Node, value: &Node) -> Result<(), YamlError> {
        let (name, elements) = match &value.data {
            Data::Map(_) => (name_of(key)?, Members::of(value, &["add"])?.need("add")?),
            _ => {
                let same = name_of(key).ok().and_then(|name| self.definitions.lists.get(name));
                if same.is_some_and(|list| list.iter().eq(&elements_of(value).unwrap_or_default())) {
                    return Ok(());
                }
                let name = self.new_name(source, key)?;
                self.definitions.lists.insert(name.to_owned(), Vec::new());
                (name, value)
            }
        };
        let list = self.definitions.lists.get_mut(name);
        let list = list.ok_or_else(|| key.error("no earlier file has a list of that name to add to"))?;
        list.extend(elements_of(elements)?);
        match list.len() {
            0..=ELEMENTS_MAX => Ok(()),
            _ => Err(value.error(format!("the list has more than {ELEMENTS_MAX} elements"))),
        }
    }

    /// The same macro may be in several files.
    fn named<'n>(
        &mut self,
        source: &Source,
        key: &Node,
        value: &'n Node,
    ) -> Result<Condition<'n>, YamlError> {
        let condition = Condition::read(source, value)?;
        let same = name_of(key).ok().and_then(|name| self.definitions.macros.get(name));
        if same != Some(&condition.parsed) {
            let name = self.new_name(source, key)?;
            self.definitions.macros.insert(name.to_owned(), condition.parsed.clone());
        }
        Ok(condition)
    }
}

fn place(source: &Source, node: &Node) -> String {
    format!("{}:{}", source.name, node.place.line)
}

fn elements_of(node: &Node) -> Result<Vec<serde_json::Value>, YamlError> {
    let element = |one: &Node| match one.json() {
        json if json.is_string() || json.is_number() || json.is_boolean() => Ok(json),
        _ => Err(one.error("an element is a text, a number, true or false")),
    };
    node.list()?.iter().map(element).collect()
}
