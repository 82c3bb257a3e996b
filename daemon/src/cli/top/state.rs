//! Where the person is, and what keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::sample::{Container, Sample};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Containers,
    Tracers,
    /// One container, by id and name.
    Inside(String, String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Events,
    Cpu,
    Memory,
    Lost,
    Name,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    Draw,
    Look,
    End,
}

#[derive(Debug, Default)]
pub struct State {
    pub view: View,
    pub sort: Sort,
    /// Id or name of the row that is chosen; rows move.
    pub chosen: Option<String>,
    /// First row that is shown.
    pub first: usize,
    pub sample: Sample,
    /// Why what is shown is old.
    pub problem: Option<String>,
}

impl State {
    pub fn take(&mut self, mut sample: Sample) {
        sample.containers.sort_by(|a, b| self.sort.order(a, b));
        sample.tracers.sort_by(|a, b| b.cost.total_cmp(&a.cost).then_with(|| a.name.cmp(&b.name)));
        self.sample = sample;
        self.problem = None;
    }

    /// The container whose events are wanted.
    pub fn inside(&self) -> Option<String> {
        match &self.view {
            View::Inside(id, _) => Some(id.clone()),
            _ => None,
        }
    }

    /// What tells the rows of this view apart.
    fn keys(&self) -> Vec<&str> {
        match self.view {
            View::Containers => self.sample.containers.iter().map(|c| c.id.as_str()).collect(),
            View::Tracers => self.sample.tracers.iter().map(|t| t.name.as_str()).collect(),
            View::Inside(..) => Vec::new(),
        }
    }

    /// Which row is chosen: the first if the one before is gone.
    pub fn row(&self) -> usize {
        let keys = self.keys();
        self.chosen.as_ref().and_then(|chosen| keys.iter().position(|key| key == chosen)).unwrap_or(0)
    }

    pub fn key(&mut self, key: KeyEvent) -> Then {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Then::End,
            KeyCode::Char('q') => return Then::End,
            KeyCode::Char('l') if control => return Then::Look,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-10),
            KeyCode::PageDown => self.step(10),
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                let sample = std::mem::take(&mut self.sample);
                let problem = self.problem.take();
                self.take(sample);
                self.problem = problem;
            }
            KeyCode::Char('t') => self.go(View::Tracers),
            KeyCode::Char('c') | KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => self.back(),
            KeyCode::Enter | KeyCode::Right => return self.enter(),
            _ => {}
        }
        Then::Draw
    }

    fn step(&mut self, by: isize) {
        let (row, keys) = (self.row(), self.keys());
        let to = row.saturating_add_signed(by).min(keys.len().saturating_sub(1));
        self.chosen = keys.get(to).map(|key| (*key).to_owned());
    }

    fn go(&mut self, view: View) {
        self.view = view;
        (self.chosen, self.first) = (None, 0);
        self.sample.events.clear();
    }

    /// To the containers, to the one that was looked into.
    fn back(&mut self) {
        let was = self.inside();
        self.go(View::Containers);
        self.chosen = was;
    }

    fn enter(&mut self) -> Then {
        let chosen = self.sample.containers.get(self.row()).filter(|_| self.view == View::Containers);
        let Some(container) = chosen else { return Then::Draw };
        let view = View::Inside(container.id.clone(), container.name.clone());
        self.go(view);
        Then::Look
    }
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Events => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Lost,
            Self::Lost => Self::Name,
            Self::Name => Self::Events,
        }
    }

    /// The greatest first; names from a to z.
    fn order(self, a: &Container, b: &Container) -> std::cmp::Ordering {
        let by = match self {
            Self::Events => b.events.total_cmp(&a.events),
            Self::Cpu => b.cpu.unwrap_or(-1.0).total_cmp(&a.cpu.unwrap_or(-1.0)),
            Self::Memory => b.memory.cmp(&a.memory),
            Self::Lost => b.lost.cmp(&a.lost),
            Self::Name => std::cmp::Ordering::Equal,
        };
        by.then_with(|| a.name.cmp(&b.name)).then_with(|| a.id.cmp(&b.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, events: f64, memory: u64) -> Container {
        Container { id: id.into(), name: id.into(), events, memory: Some(memory), ..Container::default() }
    }

    fn state() -> State {
        let mut state = State::default();
        let containers = vec![container("a", 1.0, 30), container("b", 3.0, 20), container("c", 2.0, 10)];
        state.take(Sample { containers, ..Sample::default() });
        state
    }

    fn press(state: &mut State, code: KeyCode) -> Then {
        state.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn order(state: &State) -> Vec<&str> {
        state.sample.containers.iter().map(|c| c.id.as_str()).collect()
    }

    #[test]
    fn rows_are_sorted_and_the_choice_stays_with_its_row() {
        let mut state = state();
        assert_eq!(order(&state), ["b", "c", "a"]);
        press(&mut state, KeyCode::Down);
        assert_eq!((state.row(), state.chosen.as_deref()), (1, Some("c")));
        press(&mut state, KeyCode::Char('s'));
        press(&mut state, KeyCode::Char('s'));
        assert_eq!((state.sort, order(&state)), (Sort::Memory, vec!["a", "b", "c"]));
        assert_eq!(state.row(), 2);
        press(&mut state, KeyCode::PageDown);
        assert_eq!(state.row(), 2);
        press(&mut state, KeyCode::PageUp);
        assert_eq!(state.row(), 0);
    }

    #[test]
    fn into_a_container_and_back() {
        let mut state = state();
        press(&mut state, KeyCode::Down);
        assert_eq!(press(&mut state, KeyCode::Enter), Then::Look);
        assert_eq!(state.inside().as_deref(), Some("c"));
        press(&mut state, KeyCode::Esc);
        assert_eq!((&state.view, state.row()), (&View::Containers, 1));
        press(&mut state, KeyCode::Char('t'));
        assert_eq!(press(&mut state, KeyCode::Enter), Then::Draw);
        assert_eq!(state.view, View::Tracers);
        let end = state.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!((end, press(&mut state, KeyCode::Char('q'))), (Then::End, Then::End));
    }

    #[test]
    fn nothing_there_is_nothing_to_choose() {
        let mut state = State::default();
        for code in [KeyCode::Down, KeyCode::Up, KeyCode::Enter, KeyCode::Char('s'), KeyCode::Left] {
            assert_eq!(press(&mut state, code), Then::Draw);
        }
    }
}
