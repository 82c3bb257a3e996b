//! From files to rules: what all of them define first, then each file's rules and what it changes of those before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::{self, Condition, Draft};
use super::known::Known;
use super::overrides::Override;
use super::problem::{self, Problem, Source};
use super::rate::Rate;
use super::rule::{Exception, Rule, placeholders};
use super::{Rules, definitions};
use crate::expression::{Definitions, Expression, ExpressionError, Names, Terms};
use crate::meaning::Meanings;
use crate::yaml::{self, Members, Node, YamlError};

/// Most rules.
const RULES_MAX: usize = 1024;
const MEMBERS: [&str; 4] = ["lists", "macros", "rules", "overrides"];

pub fn compile(files: &[Source], meanings: Option<&Meanings>) -> (Rules, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut read = Vec::new();
    for source in files {
        let node =
            yaml::read(&source.text).and_then(|node| Members::of(&node, &MEMBERS).map(|_| ()).map(|()| node));
        match node {
            Ok(node) => read.push((source, node)),
            Err(e) => problems.push(Problem::new(source, "", e)),
        }
    }
    let known = meanings.map(|m| Arc::new(Known::new(m)));
    let (definitions, terms) = definitions::read(&read, &mut problems);
    let mut compiler = Compiler { definitions, known: known.clone(), rules: Vec::new(), terms, problems };
    for (source, node) in &read {
        compiler.file(source, node);
    }
    let Compiler { rules: all, terms, problems, .. } = compiler;
    let mut rules = Rules { all, terms, known, ..Rules::default() };
    rules.index();
    (rules, problems)
}

struct Compiler {
    definitions: Definitions,
    known: Option<Arc<Known>>,
    rules: Vec<Rule>,
    terms: Terms,
    problems: Vec<Problem>,
}

impl Compiler {
    fn file(&mut self, source: &Source, node: &Node) {
        for (member, act) in
            [("overrides", Self::change as fn(&mut Self, &Source, &Node) -> _), ("rules", Self::add)]
        {
            let members = node.map().unwrap_or_default();
            let Some((_, part)) = members.iter().find(|(key, _)| key.text() == Ok(member)) else { continue };
            match part.list() {
                Ok(all) => all.iter().for_each(|one| {
                    if let Err(e) = act(self, source, one) {
                        self.problems.push(Problem::new(source, draft::id_of(one), e));
                    }
                }),
                Err(e) => self.problems.push(Problem::new(source, "", e)),
            }
        }
    }

    fn add(&mut self, source: &Source, node: &Node) -> Result<(), YamlError> {
        let draft = Draft::read(source, node)?;
        if let Some(other) = self.rules.iter().find(|rule| *rule.id == draft.id) {
            return Err(
                node.error(format!("there is a rule of that id already, at {}:{}", other.file, other.line))
            );
        }
        if self.rules.len() >= RULES_MAX {
            return Err(node.error(format!("there are more than {RULES_MAX} rules")));
        }
        let rule = self.rule(source, draft)?;
        self.rules.push(rule);
        Ok(())
    }

    fn rule(&mut self, source: &Source, draft: Draft<'_>) -> Result<Rule, YamlError> {
        let holds = self.bind(source, &draft.condition)?;
        let events = match holds.names() {
            Names::Any => None,
            Names::Of(names) => Some(names),
        };
        self.check_events(events.as_ref(), &draft.condition)?;
        self.check(source, &holds, &draft.condition, events.as_ref())?;
        let exceptions = self.exceptions(source, draft.exceptions, events.as_ref())?;
        let rate = draft.rate.map(|(rate, node)| self.rate(rate, node, events.as_ref())).transpose()?;
        for path in placeholders(draft.summary.text()?).filter_map(|(_, path)| path) {
            self.check_path(path, events.as_ref()).map_err(|what| draft.summary.error(what))?;
        }
        let tracers = self.known.as_ref().map(|known| known.tracers(events.as_ref())).unwrap_or_default();
        let tracers = tracers.into_iter().filter(|t| holds.tracers().has(t)).collect();
        Ok(Rule {
            id: draft.id.into(),
            summary: draft.summary.text()?.to_owned(),
            description: draft.description,
            severity: draft.severity,
            tags: draft.tags,
            enabled: draft.enabled,
            file: source.name.as_str().into(),
            line: draft.node.place.line,
            condition: draft.condition.node.text()?.trim_end().to_owned(),
            exceptions,
            rate,
            events,
            tracers,
            holds,
        })
    }

    fn change(&mut self, source: &Source, node: &Node) -> Result<(), YamlError> {
        let change = Override::read(source, node)?;
        let id = change.id.text()?;
        let place = self.rules.iter().position(|rule| &*rule.id == id);
        let Some(place) = place else { return Err(change.id.error("no earlier file has a rule of that id")) };
        let events = self.rules[place].events.clone();
        let exceptions = self.exceptions(source, change.exceptions, events.as_ref())?;
        let rate = change.rate.map(|(rate, node)| self.rate(rate, node, events.as_ref())).transpose()?;
        let rule = &mut self.rules[place];
        rule.severity = change.severity.unwrap_or(rule.severity);
        rule.enabled = change.enabled.unwrap_or(rule.enabled);
        rule.rate = rate.or_else(|| rule.rate.take());
        rule.tags = change.tags.unwrap_or_else(|| std::mem::take(&mut rule.tags));
        rule.exceptions.extend(exceptions);
        Ok(())
    }

    fn bind(&mut self, source: &Source, condition: &Condition<'_>) -> Result<Expression, YamlError> {
        Expression::bind(&condition.parsed, &self.definitions, &mut self.terms)
            .map_err(|e| problem::within(source, condition.node, e))
    }

    fn exceptions(
        &mut self,
        source: &Source,
        all: Vec<(Condition<'_>, String)>,
        events: Option<&BTreeSet<String>>,
    ) -> Result<Vec<Exception>, YamlError> {
        let mut exceptions = Vec::new();
        for (condition, reason) in all {
            let holds = self.bind(source, &condition)?;
            self.check(source, &holds, &condition, events)?;
            exceptions.push(Exception {
                condition: condition.node.text()?.trim_end().to_owned(),
                reason,
                holds,
            });
        }
        Ok(exceptions)
    }

    fn rate(
        &mut self,
        mut rate: Rate,
        node: &Node,
        events: Option<&BTreeSet<String>>,
    ) -> Result<Rate, YamlError> {
        let (by, distinct) = (&mut rate.terms, &mut rate.distinct_terms);
        for (paths, terms) in [(&rate.by, by), (&rate.distinct, distinct)] {
            for path in paths {
                self.check_path(path, events).map_err(|what| node.error(what))?;
                let path: Vec<_> = path.split('.').collect();
                terms.push(self.terms.number(&path));
            }
        }
        Ok(rate)
    }

    fn check_events(
        &self,
        events: Option<&BTreeSet<String>>,
        condition: &Condition<'_>,
    ) -> Result<(), YamlError> {
        if events.is_some_and(BTreeSet::is_empty) {
            return Err(condition
                .node
                .error("the condition can be true of no event: their names exclude each other"));
        }
        match self.known.as_ref().and_then(|known| known.unknown_event(events)) {
            Some(name) => Err(condition.node.error(format!("no tracer has an event {name:?}"))),
            None => Ok(()),
        }
    }

    /// Each member that the expression asks for.
    fn check(
        &self,
        source: &Source,
        holds: &Expression,
        condition: &Condition<'_>,
        events: Option<&BTreeSet<String>>,
    ) -> Result<(), YamlError> {
        for term in holds.asks() {
            let path = self.terms.path(term);
            if let Err(what) = self.check_path(&path, events) {
                let at = condition.node.text()?.find(&path).unwrap_or_default();
                return Err(problem::within(source, condition.node, ExpressionError { at, what }));
            }
        }
        Ok(())
    }

    fn check_path(&self, path: &str, events: Option<&BTreeSet<String>>) -> Result<(), String> {
        let Some(known) = &self.known else { return Ok(()) };
        if known.has(path, events) {
            return Ok(());
        }
        Err(match (events, known.has(path, None)) {
            (Some(events), true) => {
                let events = events.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                format!("{path:?} is a member of other events, not of {events}")
            }
            _ => format!("no tracer has a member {path:?}"),
        })
    }
}
