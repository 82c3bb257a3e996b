//! Rules: the floor that needs no learning.

mod compile;
mod definitions;
mod draft;
mod known;
mod overrides;
mod problem;
mod rate;
pub mod reference;
mod rule;
pub mod test;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Event;
use crate::expression::{Terms, View};
use crate::meaning::Meanings;
use crate::packed;

pub use problem::{Problem, Source};
pub use rate::Rate;
pub use rule::{Exception, Rule};

use known::Known;
use rate::Rates;

/// Shipped files, each with its name.
const SHIPPED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rules.deflate"));

#[derive(Debug, Clone, Default)]
pub struct Rules {
    all: Vec<Rule>,
    terms: Terms,
    /// By the event's name, those that ask for it and those that ask for any.
    index: HashMap<String, Vec<usize>>,
    /// Those that ask for any.
    any: Vec<usize>,
    rates: Rates,
    /// What tracers have, if that was said.
    known: Option<Arc<Known>>,
}

impl Rules {
    /// Compiles what is right; what is not is named, and the others run. Later files override earlier ones. With meanings,
    /// members that no tracer has are problems, too.
    pub fn compile(files: &[Source], meanings: Option<&Meanings>) -> (Self, Vec<Problem>) {
        compile::compile(files, meanings)
    }

    /// The files that are part of remora.
    pub fn shipped() -> Vec<Source> {
        let files: Vec<(String, String)> = packed::read(SHIPPED);
        files.into_iter().map(|(name, text)| Source { name, text }).collect()
    }

    /// Those that speak of the event, in the order of their files.
    pub fn matching<'r>(&'r mut self, event: &Event) -> Vec<&'r Rule> {
        let asked = self.index.get(event.name()).unwrap_or(&self.any);
        let mut matching = Vec::new();
        if asked.is_empty() {
            return matching;
        }
        let view = View::new(&self.terms, event.json());
        for &number in asked {
            let rule = &self.all[number];
            if rule.holds(&view) && self.rates.speaks(rule, event, &view) {
                matching.push(rule);
            }
        }
        matching
    }

    /// Whether any rule asks for events of that name.
    pub fn ask_for(&self, event: &str) -> bool {
        !self.index.get(event).unwrap_or(&self.any).is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.all.iter().find(|rule| &*rule.id == id)
    }

    /// What rules with rates have counted goes on, where their rates are the same.
    pub fn keep_rates_of(&mut self, old: &Self) {
        let same = |id: &str| match (self.get(id), old.get(id)) {
            (Some(new), Some(old)) => new.rate == old.rate,
            _ => false,
        };
        self.rates = old.rates.of_rules(same);
    }

    /// Counts of rates that were forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.rates.evicted()
    }

    /// The same, with nothing counted.
    fn anew(&self) -> Self {
        Self { rates: Rates::default(), ..self.clone() }
    }

    /// Who has events of that name, as far as that is one.
    fn tracer_of(&self, event: &str) -> String {
        let names = [event.to_owned()].into();
        let tracers = self.known.as_ref().map(|known| known.tracers(Some(&names))).unwrap_or_default();
        tracers.into_iter().next().unwrap_or_default()
    }

    fn index(&mut self) {
        let enabled = || self.all.iter().enumerate().filter(|(_, rule)| rule.enabled);
        let any = enabled().filter(|(_, rule)| rule.events.is_none()).map(|(number, _)| number).collect();
        let mut index: HashMap<String, Vec<usize>> = HashMap::new();
        let names = enabled().flat_map(|(_, rule)| rule.events.iter().flatten());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let asks = |rule: &Rule| rule.events.as_ref().is_none_or(|names| names.contains(name));
            index.insert(name.clone(), enabled().filter(|(_, rule)| asks(rule)).map(|(n, _)| n).collect());
        }
        (self.any, self.index) = (any, index);
    }
}
