//! What was found new lately, so that a new thing is not as new the second time, nor what comes with it: of a folder nobody
//! knows each file is new, but the folder once. Where there are too many new names side by side, they are told as any.

use std::collections::{HashMap, VecDeque};

use super::hash;
use crate::behaviour::{ANY, Behaviour, Kind, Segment, part};

const NODES_MAX: usize = 8192;
const SIDE_BY_SIDE: u16 = 16;

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Names below that were told.
    below: u16,
    /// What it weighed when it was told itself.
    depth: f32,
}

#[derive(Debug, Clone, Default)]
pub struct Told {
    nodes: HashMap<u64, Node>,
    order: VecDeque<u64>,
    pub evicted: u64,
}

/// Of a new behaviour.
#[derive(Debug, PartialEq)]
pub struct Place {
    /// Class 0, operation 1, role 2, and from 3 on the attribute's segments: the first that is neither known nor told.
    pub level: usize,
    /// With `*` for what there are too many of.
    pub parts: Vec<String>,
    leaf: u64,
    parents: Vec<u64>,
    /// What it weighed, if all of it was told before.
    pub before: Option<f64>,
}

impl Told {
    /// `known` levels are in the profile.
    pub fn place(&self, container: u64, b: &Behaviour, known: usize) -> Place {
        let fixed = [&b.class, &b.operation, &b.role].map(|name| Segment { kind: Kind::Whole, name });
        let mut at = container;
        let (mut level, mut segments, mut nodes) = (0, Vec::new(), Vec::new());
        for (i, mut segment) in fixed.into_iter().chain(b.segments()).enumerate() {
            if i >= known.max(3) {
                segment.name = self.name(at, segment);
            }
            let below = down(at, segment);
            if level == i && (i < known || self.nodes.contains_key(&below)) {
                level = i + 1;
            }
            nodes.push(at);
            at = below;
            if i >= 3 {
                segments.push(segment);
            }
        }
        let before = self.nodes.get(&at).filter(|_| level == nodes.len()).map(|n| f64::from(n.depth));
        Place { level, parts: part::parts(segments), leaf: at, parents: nodes, before }
    }

    fn name<'s>(&self, parent: u64, segment: Segment<'s>) -> &'s str {
        let wide = self.nodes.get(&parent).is_some_and(|node| node.below >= SIDE_BY_SIDE);
        if wide && !self.nodes.contains_key(&down(parent, segment)) { ANY } else { segment.name }
    }

    /// From the place on, all is told now.
    pub fn tell(&mut self, place: &Place, depth: f64) {
        for (i, pair) in place.parents.windows(2).enumerate().skip(place.level.saturating_sub(1)) {
            self.insert(pair[1], 0.0);
            if i + 1 > place.level {
                self.below(pair[0]);
            }
        }
        if self.insert(place.leaf, depth) {
            place.parents.last().into_iter().for_each(|&parent| self.below(parent));
        }
    }

    fn below(&mut self, node: u64) {
        self.insert(node, 0.0);
        self.nodes.entry(node).and_modify(|node| node.below = node.below.saturating_add(1));
    }

    fn insert(&mut self, node: u64, depth: f64) -> bool {
        if self.nodes.contains_key(&node) {
            return false;
        }
        if self.order.len() >= NODES_MAX {
            let oldest = self.order.pop_front();
            self.evicted += u64::from(oldest.and_then(|oldest| self.nodes.remove(&oldest)).is_some());
        }
        self.order.push_back(node);
        self.nodes.insert(node, Node { below: 0, depth: depth as f32 });
        true
    }

    pub fn bytes(&self) -> usize {
        self.nodes.capacity() * (size_of::<(u64, Node)>() + 1) + self.order.capacity() * size_of::<u64>()
    }
}

fn down(node: u64, segment: Segment) -> u64 {
    hash::more(hash::more(node, &[segment.kind as u8]), segment.name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b(path: &str) -> Behaviour {
        let [class, operation, role] = ["opened", "open", "sh"].map(str::to_owned);
        Behaviour { class, operation, role, parts: vec![path.to_owned()] }
    }

    fn tell(told: &mut Told, path: &str, known: usize, depth: f64) -> Place {
        let place = told.place(1, &b(path), known);
        told.tell(&place, depth);
        place
    }

    #[test]
    fn the_second_time_less_of_it_is_new() {
        let mut told = Told::default();
        assert_eq!(tell(&mut told, "/srv/a", 2, 2.0).level, 2);
        let second = tell(&mut told, "/srv/b", 2, 0.5);
        assert_eq!((second.level, second.before), (4, None));
        let again = tell(&mut told, "/srv/a", 2, 9.0);
        assert_eq!((again.level, again.before), (5, Some(2.0)));
        assert_eq!(told.place(2, &b("/srv/a"), 2).level, 2, "of another container");
    }

    #[test]
    fn too_many_new_names_are_any() {
        let mut told = Told::default();
        for i in 0..100 {
            tell(&mut told, &format!("/srv/{i}x"), 4, 1.0);
        }
        assert_eq!(tell(&mut told, "/srv/new", 4, 1.0).parts, ["/srv/*"]);
        assert_eq!(tell(&mut told, "/srv/3x", 4, 1.0).parts, ["/srv/3x"]);
        for i in 0..100_000 {
            tell(&mut told, &format!("/{i}x/y"), 3, 1.0);
        }
        assert!(told.nodes.len() <= NODES_MAX && told.nodes.len() == told.order.len());
    }
}
