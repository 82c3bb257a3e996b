//! When containers ended, which recordings do not say: with their first process.

use std::collections::HashMap;

use remora_alert::event::Event;

/// The first process of each container that is there, where that was seen to start.
#[derive(Debug, Default)]
pub struct Ends(HashMap<String, Option<u64>>);

impl Ends {
    pub fn containers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What was executed before anything else is the first process, or what says that it is process 1 of its container.
    pub fn is_end(&mut self, event: &Event) -> bool {
        let (executes, container) = (event.name() == "exec", event.container());
        let own = || event.pid().filter(|_| executes);
        match self.0.get_mut(container) {
            None => {
                self.0.insert(container.to_owned(), own());
            }
            Some(first) if executes && event.number("process.vpid") == Some(1) => *first = event.pid(),
            Some(first) if event.name() == "exit" && first.is_some() && *first == event.pid() => {
                self.0.remove(container);
                return true;
            }
            Some(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ends(told: &[(&str, &str, u64, u64)]) -> Vec<bool> {
        let mut ends = Ends::default();
        let event = |&(container, name, pid, vpid): &(&str, &str, u64, u64)| {
            let json = json!({"time": "2026-01-01T00:00:00Z", "event": {"name": name}, "container": {"id": container},
                "process": {"pid": pid, "vpid": vpid}});
            ends.is_end(&Event::new(json.as_object().cloned().unwrap_or_default()).unwrap())
        };
        told.iter().map(event).collect()
    }

    #[test]
    fn a_container_ends_with_its_first_process() {
        let told = [("a", "exec", 10, 1), ("a", "exec", 11, 7), ("b", "exec", 20, 4), ("a", "exit", 11, 7)];
        assert_eq!(ends(&told), [false; 4]);
        assert!(ends(&[("a", "exec", 10, 1), ("a", "exec", 11, 2), ("a", "exit", 10, 1)])[2]);
        // In a pod's namespace the first one is not process 1.
        assert_eq!(
            ends(&[("a", "exec", 10, 5), ("a", "exit", 10, 5), ("a", "exit", 10, 5)]),
            [false, true, false]
        );
        // And again after a restart.
        let again = [("a", "exec", 1, 1), ("a", "exit", 1, 1), ("a", "exec", 2, 1), ("a", "exit", 2, 1)];
        assert_eq!(ends(&again), [false, true, false, true]);
    }

    #[test]
    fn of_what_began_before_the_recording_no_process_is_taken_for_the_first() {
        assert_eq!(ends(&[("a", "open", 10, 3), ("a", "exec", 11, 7), ("a", "exit", 11, 7)]), [false; 3]);
    }
}
