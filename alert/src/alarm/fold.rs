//! Repetitions are counted, over all containers of an image, and told again each time there are ten times as many.

use crate::bounded::Bounded;
use crate::time::SECOND;

/// Families kept apart.
const FAMILIES: usize = 4096;
/// After so long it counts as new.
const WINDOW: u64 = 24 * 3600 * SECOND;

#[derive(Debug, Clone)]
struct Family {
    id: String,
    first: u64,
    count: u64,
}

/// What an alarm is among those of its family.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The first one's.
    pub id: String,
    pub first: u64,
    /// This included.
    pub count: u64,
    /// Whether it is worth telling: the first, the tenth, the hundredth, …
    pub speaks: bool,
}

#[derive(Debug)]
pub struct Fold(Bounded<u128, Family>);

impl Default for Fold {
    fn default() -> Self {
        Self(Bounded::new(FAMILIES))
    }
}

impl Fold {
    pub fn take(&mut self, family: u128, time: u64, id: impl Fn() -> String) -> Folded {
        let known = self.0.entry(&family, || Family { id: id(), first: time, count: 0 });
        if time > known.first + WINDOW {
            *known = Family { id: id(), first: time, count: 0 };
        }
        known.count += 1;
        let speaks = known.count == 10_u64.pow(known.count.ilog10());
        Folded { id: known.id.clone(), first: known.first, count: known.count, speaks }
    }

    pub fn evicted(&self) -> u64 {
        self.0.evicted()
    }

    pub fn memory(&self) -> usize {
        self.0.len() * (size_of::<Family>() + 18 + 200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_tenth_and_the_hundredth_are_told_and_the_next_day_begins_anew() {
        let mut fold = Fold::default();
        let mut take = |time| fold.take(7, time, || format!("a-{time}"));
        let told: Vec<_> = (0..1000).map(&mut take).filter(|f| f.speaks).map(|f| (f.id, f.count)).collect();
        assert_eq!(told, [1, 10, 100, 1000].map(|n| ("a-0".to_owned(), n)));
        assert!(!take(WINDOW).speaks);
        let next = take(WINDOW + 1);
        assert_eq!((next.count, next.speaks, next.first), (1, true, WINDOW + 1));
    }

    #[test]
    fn families_are_bounded() {
        let mut fold = Fold::default();
        for family in 0..2 * FAMILIES as u128 {
            fold.take(family, 0, String::new);
        }
        assert_eq!((fold.0.len(), fold.evicted()), (FAMILIES, FAMILIES as u64));
    }
}
