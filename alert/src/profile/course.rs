//! When a phase of a profile is believed: nearly nothing new came for two windows.

use crate::time::SECOND;

const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// A window is at least so long, and has so many events or is an hour long.
const WINDOW: u64 = 10 * MINUTE;
const WINDOW_EVENTS: u64 = 1000;
/// Of so many events less than one is new in a quiet window.
const SETTLED: u64 = 1000;
const QUIET_WINDOWS: u8 = 2;

/// Times in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Course {
    /// When its first event came; 0 before.
    pub since: u64,
    pub events: u64,
    /// Containers whose start-up is over; none of the steady phase.
    pub runs: u32,
    /// When it was found to have settled.
    pub converged: Option<u64>,
    window: Window,
    quiet: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Window {
    since: u64,
    events: u64,
    new: u64,
}

impl Window {
    fn is_quiet(&self) -> bool {
        self.new == 0 || self.new * SETTLED < self.events
    }
}

impl Course {
    /// As a file has it: a window begins anew.
    pub fn again(since: u64, events: u64, runs: u32, converged: Option<u64>) -> Self {
        Self { since, events, runs, converged, ..Self::default() }
    }

    pub fn saw(&mut self, time: u64, new: bool) {
        if self.since == 0 {
            self.since = time;
        }
        if self.window.since == 0 {
            self.window.since = time;
        }
        self.events += 1;
        self.window.events += 1;
        self.window.new += u64::from(new);
    }

    /// Of the steady phase, after an event.
    pub fn pass(&mut self, time: u64, learn: u64) {
        let long = time.saturating_sub(self.window.since);
        if self.converged.is_some() || long < WINDOW || self.window.events < WINDOW_EVENTS && long < HOUR {
            return;
        }
        self.close(time);
        if self.quiet >= QUIET_WINDOWS && time.saturating_sub(self.since) >= learn {
            self.converged = Some(time);
        }
    }

    fn close(&mut self, time: u64) {
        self.quiet = if self.window.is_quiet() { self.quiet.saturating_add(1) } else { 0 };
        self.window = Window { since: time, ..Window::default() };
    }

    /// Of the start-up phase: a container's is over, in which so many behaviours were new among its events.
    pub fn run(&mut self, time: u64, events: u64, new: u64) {
        self.runs = self.runs.saturating_add(1);
        self.window = Window { events, new, ..self.window };
        self.close(time);
        if self.quiet >= QUIET_WINDOWS {
            self.converged.get_or_insert(time);
        }
    }

    /// Of the start-up phase: one run is enough where all of it is believed and the steady phase has settled.
    pub fn wait(&mut self, time: u64, settled: bool) {
        if self.runs > 0 && settled {
            self.converged.get_or_insert(time);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.since = if self.since == 0 { other.since } else { self.since.min(other.since.max(1)) };
        self.events += other.events;
        self.runs = self.runs.saturating_add(other.runs);
        self.converged = self.converged.zip(other.converged).map(|(a, b)| a.max(b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(seconds: u64, new: impl Fn(u64) -> bool) -> Course {
        let mut course = Course::default();
        for second in 1..=seconds {
            course.saw(second * SECOND, new(second));
            course.pass(second * SECOND, HOUR);
        }
        course
    }

    #[test]
    fn it_settles_after_two_quiet_windows_and_no_sooner_than_asked() {
        assert_eq!(steady(3500, |s| s < 300).converged, None);
        let settled = steady(9000, |s| s < 300).converged.unwrap();
        assert!((3600..5000).contains(&(settled / SECOND)), "{settled}");
    }

    #[test]
    fn noise_does_not_settle() {
        assert_eq!(steady(40_000, |s| s % 500 == 0).converged, None);
    }

    #[test]
    fn starts_settle_after_two_that_were_as_before_or_one_that_settled() {
        let mut course = Course::default();
        course.saw(1, true);
        course.run(60 * SECOND, 300, 150);
        course.run(120 * SECOND, 300, 0);
        assert_eq!(course.converged, None);
        course.run(180 * SECOND, 300, 0);
        assert!(course.converged.is_some());

        let mut course = Course::default();
        course.saw(1, true);
        course.wait(30 * HOUR, true);
        assert_eq!(course.converged, None);
        course.run(60 * SECOND, 300, 150);
        course.wait(30 * HOUR, false);
        assert_eq!(course.converged, None);
        course.wait(30 * HOUR, true);
        assert!(course.converged.is_some());
    }
}
