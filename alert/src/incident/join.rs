//! Which incidents an alarm has to do with.

use super::Incidents;
use super::deed::{Deed, Object};
use super::ground::Ground;
use super::open::{Open, Part};
use crate::process::{Lineage, Serial};
use crate::time::SECOND;

/// What the container's own work begins in the same way belongs together if it comes within so long.
const TOGETHER: u64 = 120 * SECOND;

/// Where and when an alarm came up.
#[derive(Debug)]
pub struct Site<'s> {
    pub container: &'s str,
    pub lineage: &'s Lineage,
    /// The program that the container's own work started.
    pub branch: &'s str,
    pub deed: &'s Deed,
    pub family: u128,
    pub now: u64,
}

impl Incidents {
    /// Those that it is tied to: by its lineage, a file, a connection. Each once, the oldest first.
    pub(super) fn tied(&self, ground: &Ground, site: &Site<'_>) -> Vec<u64> {
        let mut found: Vec<u64> =
            site.lineage.apart.iter().filter_map(|s| self.marked(ground, *s, false)).collect();
        found.extend(site.lineage.base.and_then(|base| self.marked(ground, base, true)));
        self.by_file(ground, site, &mut found);
        self.by_connection(ground, site, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The incident that a process has a part in; one that does the container's own work, only by what it did itself.
    fn marked(&self, ground: &Ground, serial: Serial, is_base: bool) -> Option<u64> {
        let mark = ground.processes.get(serial)?.mark?;
        (self.open.contains_key(&mark.incident) && (mark.direct || !is_base)).then_some(mark.incident)
    }

    /// The incidents of a process and its ancestors.
    pub fn of_lineage(&self, ground: &Ground, lineage: &Lineage) -> Option<u64> {
        let apart = lineage.apart.iter().find_map(|serial| self.marked(ground, *serial, false));
        apart.or_else(|| self.marked(ground, lineage.base?, true))
    }

    fn of_process(&self, ground: &Ground, serial: Serial, now: u64) -> Option<u64> {
        self.of_lineage(ground, &ground.processes.lineage(serial, now))
    }

    /// Who wrote what it executed, or what this is about.
    fn by_file(&self, ground: &Ground, site: &Site<'_>, found: &mut Vec<u64>) {
        let made = site.lineage.apart.iter().filter_map(|serial| ground.processes.get(*serial));
        let mut hands: Vec<Serial> = made.flat_map(|process| process.made_by.iter().copied()).collect();
        if let (Object::File(path), Some(container)) =
            (&site.deed.object, ground.processes.container(site.container))
        {
            hands.extend(ground.links.hands(&container.id, path));
        }
        found.extend(hands.into_iter().filter_map(|hand| self.of_process(ground, hand, site.now)));
    }

    fn by_connection(&self, ground: &Ground, site: &Site<'_>, found: &mut Vec<u64>) {
        for connection in ground.links.connections(site.now) {
            if &*connection.server_container == site.container {
                found.extend(self.of_process(ground, connection.client, site.now));
            } else if site.lineage.apart.contains(&connection.client) {
                // What happened there after the connection was made may be its doing.
                let there = self.in_container(&connection.server_container);
                found.extend(there.filter(|(_, open)| open.first >= connection.time).map(|(key, _)| key));
            }
        }
    }

    /// The one that it is likely to belong to though nothing ties it, and whether that one is kept open by it.
    pub(super) fn likely(&self, site: &Site<'_>) -> Option<(u64, bool)> {
        let near = self.in_container(site.container).filter_map(|(key, open)| {
            let part = open.parts.iter().find(|part| &*part.id == site.container)?;
            Some((open.last, key, belongs(open, part, site)?))
        });
        let near = near.max_by_key(|(last, key, _)| (*last, *key)).map(|(_, key, keeps)| (key, keeps));
        // The same in another replica.
        near.or_else(|| self.founded.get(&site.family).map(|key| (*key, true)))
    }
}

fn belongs(open: &Open, part: &Part, site: &Site<'_>) -> Option<bool> {
    if site.lineage.outside {
        return part.outside.map(|_| true);
    }
    let together = part.inside? + TOGETHER >= site.now;
    let alike =
        part.by_base || site.lineage.apart.is_empty() || part.branches.iter().any(|b| **b == *site.branch);
    if together && alike {
        return Some(true);
    }
    // What else is odd in a container of which something is told already is part of that, but cannot keep it open.
    open.is_telling().then_some(false)
}
