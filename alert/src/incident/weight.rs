//! How much an incident matters.

use std::collections::{BTreeMap, BTreeSet};

use crate::alarm::raw::Raw;
use crate::alarm::{Kind, Severity};
use crate::profile::{NOVEL, is_act};

/// Novelties that somebody from outside brings, such as an administrator, come to so much at most, unless a rule of medium
/// severity speaks, too.
const SESSION_MAX: f64 = 8.0;
/// What is novel alone is told if it is of so many classes.
const CLASSES: usize = 2;
/// Families counted; what has so many is told anyway.
const FAMILIES: usize = 256;
/// Tags kept, and characters of one.
const TAGS: usize = 64;
const TAG: usize = 40;

/// Tactics of ATT&CK, as tags have them.
const TACTICS: [&str; 14] = [
    "reconnaissance",
    "resource-development",
    "initial-access",
    "execution",
    "persistence",
    "privilege-escalation",
    "defense-evasion",
    "credential-access",
    "discovery",
    "lateral-movement",
    "collection",
    "command-and-control",
    "exfiltration",
    "impact",
];

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rule,
    Profile,
    /// A profile, of what was done from outside.
    Session,
}

#[derive(Debug, Clone, Default)]
pub struct Weight {
    /// What each family adds, and all of them, by who says it.
    families: BTreeMap<u128, (f64, By)>,
    sums: [f64; 3],
    /// Of what novelties did, rather than looked at.
    classes: BTreeSet<Box<str>>,
    /// A rule of medium severity speaks.
    carried: bool,
    /// How many families of each rule.
    rules: BTreeMap<Box<str>, (i32, Severity)>,
    tactics: BTreeSet<&'static str>,
    tags: BTreeSet<Box<str>>,
}

impl Weight {
    /// A repetition adds nothing, and each further thing that the same rule has to say half of the one before.
    pub fn add(&mut self, family: u128, raw: &Raw<'_>, outside: bool) {
        let by = match raw.kind {
            Kind::Rule => By::Rule,
            Kind::Novelty if outside => By::Session,
            Kind::Novelty => By::Profile,
        };
        let class = raw.rule.strip_prefix(NOVEL).filter(|class| by != By::Rule && is_act(class));
        self.classes.extend(class.map(Box::from));
        self.put(family, by, &raw.rule, raw.severity, raw.score, &raw.tags);
    }

    fn put(&mut self, family: u128, by: By, rule: &str, severity: Severity, score: f64, tags: &[String]) {
        if self.families.contains_key(&family) || self.families.len() >= FAMILIES {
            return;
        }
        let (before, _) =
            *self.rules.entry(rule.into()).and_modify(|known| known.0 += 1).or_insert((0, severity));
        let adds = score * 0.5_f64.powi(before);
        self.families.insert(family, (adds, by));
        self.sums[by as usize] += adds;
        self.carried |= by == By::Rule && severity.weighs(score);
        for tag in tags.iter().filter(|_| severity > Severity::Info && score > 0.0) {
            self.tactics.extend(TACTICS.iter().find(|tactic| tag.eq_ignore_ascii_case(tactic)));
            if self.tags.len() < TAGS {
                self.tags.insert(crate::shown::line(tag, TAG).into());
            }
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (family, (adds, by)) in other.families {
            if self.families.len() < FAMILIES && !self.has(family) {
                self.families.insert(family, (adds, by));
                self.sums[by as usize] += adds;
            }
        }
        self.classes.extend(other.classes);
        self.carried |= other.carried;
        for (rule, (more, severity)) in other.rules {
            self.rules.entry(rule).and_modify(|known| known.0 += more + 1).or_insert((more, severity));
        }
        self.tactics.extend(other.tactics);
        self.tags.extend(other.tags);
    }

    /// Several tactics together are what an attack has and an accident has not.
    pub fn score(&self) -> f64 {
        let several = match self.tactics.len() {
            0..3 => 1.0,
            3 => 1.5,
            _ => 2.0,
        };
        let [rules, novel, session] = self.sums;
        let sum = match self.carried {
            true => (rules + novel + session) * several,
            false => rules * several + novel + session.min(SESSION_MAX),
        };
        (sum * 10.0).round() / 10.0
    }

    /// Novelty supports what rules say. Alone it has to be of several kinds.
    pub fn is_enough(&self, score: f64) -> bool {
        self.score() >= score && (self.sums[By::Rule as usize] > 0.0 || self.classes.len() >= CLASSES)
    }

    pub fn has(&self, family: u128) -> bool {
        self.families.contains_key(&family)
    }

    pub fn severity(&self) -> Severity {
        self.rules.values().map(|(_, severity)| *severity).max().unwrap_or(Severity::Info)
    }

    pub fn tactics(&self) -> usize {
        self.tactics.len()
    }

    pub fn tags(&self) -> Vec<String> {
        self.tags.iter().map(|tag| tag.to_string()).collect()
    }

    /// The weightiest first.
    pub fn rules(&self) -> Vec<String> {
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by(|a, b| b.1.1.cmp(&a.1.1).then_with(|| a.0.cmp(b.0)));
        rules.into_iter().map(|(rule, _)| rule.to_string()).collect()
    }

    pub fn memory(&self) -> usize {
        self.families.len() * 48 + (self.rules.len() + self.tags.len()) * 96
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[&str]) -> Vec<String> {
        all.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn a_repetition_adds_nothing_and_more_of_the_same_rule_less_and_less() {
        let mut weight = Weight::default();
        for family in [1, 1, 2, 3] {
            weight.put(family, By::Rule, "reads", Severity::Medium, 4.0, &[]);
        }
        assert_eq!(weight.score(), 7.0);
        for family in 4..10_000 {
            weight.put(family, By::Rule, "reads", Severity::Medium, 4.0, &[]);
        }
        assert_eq!((weight.score(), weight.families.len()), (8.0, FAMILIES));
    }

    #[test]
    fn several_tactics_weigh_more_than_their_sum() {
        let mut weight = Weight::default();
        let all = ["execution", "T1059", "persistence", "discovery", "impact"];
        let mut scores = Vec::new();
        for (family, tactic) in all.iter().enumerate() {
            weight.put(family as u128, By::Rule, &family.to_string(), Severity::Low, 1.0, &tags(&[tactic]));
            scores.push(weight.score());
        }
        assert_eq!(scores, [1.0, 2.0, 3.0, 6.0, 10.0]);
        weight.put(99, By::Rule, "note", Severity::Info, 0.0, &tags(&["exfiltration"]));
        assert_eq!((weight.tactics(), weight.score()), (4, 10.0), "a note's tactics do not count");
        assert_eq!(weight.rules()[0], "0");
    }

    #[test]
    fn novelties_of_a_session_are_not_enough_without_a_rule() {
        let mut weight = Weight::default();
        for family in 0..5 {
            weight.put(family, By::Session, &family.to_string(), Severity::Medium, 9.0, &[]);
        }
        weight.put(5, By::Rule, "terminal", Severity::Low, 1.0, &[]);
        assert_eq!(weight.score(), 9.0);
        weight.put(6, By::Rule, "reads", Severity::Medium, 4.0, &[]);
        assert_eq!(weight.score(), 50.0);
    }

    #[test]
    fn novelty_alone_is_of_several_kinds() {
        let mut weight = Weight::default();
        for family in 0..5 {
            weight.put(family, By::Profile, &family.to_string(), Severity::Medium, 9.0, &[]);
        }
        weight.classes.insert("executed".into());
        assert!(!weight.is_enough(10.0));
        weight.classes.insert("connected".into());
        assert!(weight.is_enough(10.0));
    }
}
