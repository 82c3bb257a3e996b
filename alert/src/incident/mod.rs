//! Alarms of one lineage become one incident.

mod acts;
mod deed;
mod ground;
mod join;
mod kept;
mod links;
mod open;
mod shelf;
mod story;
mod telling;
mod text;
mod told;
mod weight;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub(crate) use deed::Deed;
pub(crate) use ground::Ground;
use join::Site;
use open::Open;
pub use told::{Edge, Graph, Incident, Ledger, Moment, Node, State};

use crate::alarm::raw::Raw;
use crate::process::{Lineage, Mark};

/// Where an alarm went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placed {
    pub key: u64,
    /// The first of its family in this incident.
    pub is_first: bool,
}

#[derive(Debug)]
pub(crate) struct Incidents {
    /// By number, as they came to be.
    open: BTreeMap<u64, Open>,
    of_container: HashMap<Arc<str>, BTreeSet<u64>>,
    /// By what each began with.
    founded: HashMap<u128, u64>,
    next: u64,
    window: u64,
    /// Bytes that they may take, and do.
    budget: usize,
    memory: usize,
    evicted: u64,
    told: u64,
    /// Told ones that went for want of room: they are told as over.
    gone: Vec<Open>,
}

impl Incidents {
    pub fn new(window: u64, budget: usize) -> Self {
        let (open, of_container, founded, gone) = Default::default();
        Self { open, of_container, founded, next: 0, window, budget, memory: 0, evicted: 0, told: 0, gone }
    }

    /// Takes an alarm of a process in.
    pub fn alarm(&mut self, raw: &Raw<'_>, lineage: &Lineage, deed: &Deed, ground: &mut Ground) -> Placed {
        let (family, now) = (raw.family(), raw.event.time());
        let branch = lineage.branch().and_then(|serial| ground.processes.get(serial));
        let branch = branch.map(|process| process.name().to_owned()).unwrap_or_default();
        let site = Site { container: raw.event.container(), lineage, branch: &branch, deed, family, now };
        let (key, keeps) = self.place(raw, &site, ground);
        let Some(mut open) = self.take(key) else { return Placed { key, is_first: true } };
        let is_first = self.put(&mut open, raw, &site, ground);
        if keeps && raw.score > 0.0 {
            open.last = open.last.max(now);
        }
        Self::mark(key, lineage, ground);
        self.keep(key, open);
        self.make_room(key);
        Placed { key, is_first }
    }

    /// The incident that an alarm belongs to, a new one if there is none, and whether the alarm keeps it open.
    fn place(&mut self, raw: &Raw<'_>, site: &Site<'_>, ground: &mut Ground) -> (u64, bool) {
        let tied = self.tied(ground, site);
        if let Some(likely) = tied.is_empty().then(|| self.likely(site)).flatten() {
            return likely;
        }
        let Some(&first) = tied.first() else {
            self.next += 1;
            self.founded.insert(site.family, self.next);
            self.keep(self.next, Open::new(raw, site.family));
            return (self.next, true);
        };
        // Who was told of one keeps that one.
        let into = tied.iter().copied().find(|key| self.open[key].is_told()).unwrap_or(first);
        for other in tied.into_iter().filter(|key| *key != into) {
            self.merge(into, other, ground);
        }
        (into, true)
    }

    /// Of two that were told each stays what it is.
    fn merge(&mut self, into: u64, other: u64, ground: &mut Ground) {
        if self.is_told(other) {
            return;
        }
        let (Some(mut open), Some(gone)) = (self.take(into), self.remove(other)) else { return };
        for serial in gone.story.serials() {
            ground.processes.update(serial, |process| {
                if let Some(mark) = process.mark.as_mut().filter(|mark| mark.incident == other) {
                    mark.incident = into;
                }
            });
        }
        open.merge(gone);
        self.keep(into, open);
    }

    fn put(&self, open: &mut Open, raw: &Raw<'_>, site: &Site<'_>, ground: &Ground) -> bool {
        let Some(container) = ground.processes.container(site.container) else { return false };
        let part = open.part(container);
        open.came_by(part, site.lineage, site.branch, site.now);
        if open.again(site.container, site.family, site.now) {
            open.draw(ground, part, site.lineage, site.deed, site.now);
            return false;
        }
        open.catch_up(ground, part, site.lineage, site.deed, site.now);
        open.draw(ground, part, site.lineage, site.deed, site.now);
        open.connect(ground, site.now);
        open.add(raw, site.family, part, site.lineage.outside)
    }

    /// Who has a part in it: the process and its ancestors; of those that do the container's own work only itself.
    fn mark(incident: u64, lineage: &Lineage, ground: &mut Ground) {
        let own = lineage.own();
        let base = lineage.base.filter(|_| lineage.apart.is_empty());
        for serial in lineage.apart.iter().copied().chain(base) {
            ground.processes.update(serial, |process| {
                let was = process.mark.is_some_and(|mark| mark.incident == incident && mark.direct);
                process.mark = Some(Mark { incident, direct: was || Some(serial) == own });
            });
        }
    }

    /// What a process did that no alarm speaks of, if it has a part in an incident.
    pub fn act(&mut self, container: &str, lineage: &Lineage, deed: &Deed, now: u64, ground: &Ground) {
        let Some(key) = self.of_lineage(ground, lineage).filter(|_| !lineage.apart.is_empty()) else {
            return;
        };
        let Some(known) = ground.processes.container(container) else { return };
        let Some(mut open) = self.take(key) else { return };
        let part = open.part(known);
        open.catch_up(ground, part, lineage, deed, now);
        self.keep(key, open);
        self.make_room(key);
    }
}
