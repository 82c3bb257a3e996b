//! What incidents are found in: who descends from whom, who left what to whom, who did what lately.

use super::acts::{Act, Acts};
use super::deed::{Deed, Object};
use super::links::Links;
use crate::event::Event;
use crate::process::{Lineage, Processes, Serial, Step};

#[derive(Debug, Default)]
pub struct Ground {
    pub processes: Processes,
    pub links: Links,
    pub acts: Acts,
}

impl Ground {
    /// Takes note of an event: whose it is, and where that one stands.
    pub fn note(&mut self, event: &Event, step: Step, deed: &Deed) -> (Option<Serial>, Lineage) {
        let Some(serial) = self.processes.see(event, step) else { return (None, Lineage::default()) };
        let Some(container) = self.processes.get(serial).map(|p| p.container.clone()) else {
            return (None, Lineage::default());
        };
        if let (Step::Executed, Object::File(path)) = (step, &deed.object) {
            let hands: Vec<Serial> = self.links.hands(&container, path).to_vec();
            if !hands.is_empty() {
                self.processes.update(serial, |process| process.made_by = hands);
            }
        }
        let lineage = self.processes.lineage(serial, event.time());
        self.links.note(&container, serial, deed, event.time());
        // Of the container's own work only what it leaves behind matters: it goes on all day.
        if deed.telling && !lineage.apart.is_empty() {
            let (kind, object) = (deed.kind.clone(), deed.object.clone());
            self.acts.add(serial, Act { kind, object, failed: deed.failed, time: event.time(), count: 1 });
        }
        (Some(serial), lineage)
    }

    pub fn memory(&self) -> usize {
        self.processes.memory() + self.links.memory() + self.acts.memory
    }
}
