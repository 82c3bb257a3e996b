//! What one profile has that another one has not, and one of two.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result as FmtResult};
use std::sync::Arc;

use serde::Serialize;

use super::entry::Entry;
use super::one::{Phase, Profile};
use crate::behaviour::Behaviour;

/// Of one phase.
const ENTRIES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Or removed.
    pub added: bool,
    pub phase: &'static str,
    pub class: String,
    pub operation: String,
    pub role: String,
    pub attribute: String,
    pub count: u32,
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter) -> FmtResult {
        let Self { added, phase, class, operation, role, attribute, count } = self;
        let sign = if *added { '+' } else { '-' };
        let line = format!("{sign} {phase} {class} {operation} {role}: {attribute} ({count})");
        line.chars().try_for_each(|c| {
            if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") }
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profiles of {0} and of {1} are not of one kind")]
pub struct OfOthers(String, String);

type Rows = BTreeMap<(Phase, Behaviour), Entry>;

fn rows(profile: &Profile) -> Rows {
    let mut rows = Rows::new();
    profile.walk(&mut |phase, b, entry| {
        rows.insert((phase, b), *entry);
    });
    rows
}

/// From `a` to `b`, in order. What another entry covers, as one that takes any name, is no difference.
pub fn diff(a: &Profile, b: &Profile) -> Vec<Difference> {
    let mut all: Vec<_> = missing(b, a, false).into_iter().chain(missing(a, b, true)).collect();
    all.sort_by(|(a, x), (b, y)| (a, x.added).cmp(&(b, y.added)));
    all.into_iter().map(|(_, difference)| difference).collect()
}

fn missing(from: &Profile, of: &Profile, added: bool) -> Vec<((Phase, Behaviour), Difference)> {
    let rows = rows(of).into_iter();
    let unknown = rows.filter(|((phase, b), _)| from.phases[*phase as usize].tree.find(b).is_err());
    let difference = |((phase, b), entry): ((Phase, Behaviour), Entry)| {
        let (attribute, count) = (b.attribute(), entry.count);
        let Behaviour { class, operation, role, .. } = b.clone();
        ((phase, b), Difference { added, phase: phase.name(), class, operation, role, attribute, count })
    };
    unknown.map(difference).collect()
}

/// Of two nodes, or two times: what either knows. The same whichever comes first, but for the digest where they differ.
pub fn merge(a: &Profile, b: &Profile) -> Result<Profile, OfOthers> {
    if (&a.key.image, &a.key.role) != (&b.key.image, &b.key.role) {
        return Err(OfOthers(a.key.to_string(), b.key.to_string()));
    }
    let newer = if b.last > a.last { b } else { a };
    let mut merged = Profile { key: newer.key.clone(), ..Profile::default() };
    for one in [a, b] {
        merged.first = if merged.first == 0 { one.first } else { merged.first.min(one.first.max(1)) };
        merged.last = merged.last.max(one.last);
        merged.containers += one.containers;
        merged.events += one.events;
    }
    for phase in Phase::ALL {
        let at = phase as usize;
        let mut course = a.phases[at].course;
        course.add(&b.phases[at].course);
        merged.phases[at].course = course;
    }
    for ((phase, behaviour), entry) in rows(a).into_iter().chain(rows(b)) {
        let tree = Arc::make_mut(&mut merged.phases[phase as usize].tree);
        merged.refused += u64::from(!tree.add(&behaviour, &entry, ENTRIES_MAX));
    }
    Ok(merged)
}
