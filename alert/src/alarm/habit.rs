//! What a rule says of an image's containers again and again, and never together with anything grave, is a habit of theirs.

use crate::bounded::Bounded;

/// Families kept apart.
const FAMILIES: usize = 4096;
/// What so many containers of an image did is a habit.
const CONTAINERS: usize = 3;

#[derive(Debug, Clone, Default)]
struct Seen {
    /// Hashes of their ids.
    containers: Vec<u128>,
    /// It took part in something grave once.
    grave: bool,
}

#[derive(Debug)]
pub struct Habits(Bounded<u128, Seen>);

impl Default for Habits {
    fn default() -> Self {
        Self(Bounded::new(FAMILIES))
    }
}

impl Habits {
    pub fn has(&self, family: u128) -> bool {
        self.0.get(&family).is_some_and(|seen| !seen.grave && seen.containers.len() >= CONTAINERS)
    }

    pub fn saw(&mut self, family: u128, container: u128) {
        let seen = self.0.entry(&family, Seen::default);
        if seen.containers.len() < CONTAINERS && !seen.containers.contains(&container) {
            seen.containers.push(container);
        }
    }

    /// It is none from now on, whatever comes.
    pub fn grave(&mut self, family: u128) {
        *self.0.entry(&family, Seen::default) = Seen { containers: Vec::new(), grave: true };
    }

    pub fn evicted(&self) -> u64 {
        self.0.evicted()
    }

    pub fn memory(&self) -> usize {
        self.0.len() * (size_of::<Seen>() + 16 * CONTAINERS + 160)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_containers_make_a_habit_unless_it_is_grave() {
        let mut habits = Habits::default();
        for container in [1, 1, 2, 2] {
            habits.saw(7, container);
        }
        assert!(!habits.has(7));
        habits.saw(7, 3);
        assert!(habits.has(7));
        habits.grave(7);
        for container in 0..9 {
            habits.saw(7, container);
        }
        assert!(!habits.has(7));
    }

    #[test]
    fn habits_are_bounded() {
        let mut habits = Habits::default();
        for family in 0..2 * FAMILIES as u128 {
            habits.saw(family, 1);
        }
        assert_eq!((habits.0.len(), habits.evicted()), (FAMILIES, FAMILIES as u64));
    }
}
