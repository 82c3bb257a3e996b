//! Lines on the screen, whatever its size.

use ratatui::{
    buffer::Buffer,
    style::{Modifier, Style},
};

use super::sample::{Container, Count, Tracer};
use super::state::{Sort, State, View};
use crate::cli::map::bytes;

/// Lines that are no rows: what is all about, the head, the keys.
const AROUND: usize = 3;

/// A column: its head, and whether its cells are numbers, which stand to the right.
type Column = (&'static str, bool);

const CONTAINERS: [Column; 7] = [
    ("NAME", false),
    ("EVENTS/S", true),
    ("CPU %", true),
    ("MEMORY", true),
    ("LOST", true),
    ("STATE", false),
    ("TRACERS", false),
];
const TRACERS: [Column; 7] = [
    ("TRACER", false),
    ("STATE", false),
    ("CONTAINERS", true),
    ("EVENTS/S", true),
    ("RUNS/S", true),
    ("CPU %", true),
    ("TELLS", false),
];
const COUNTS: [Column; 5] =
    [("TRACER", false), ("EVENTS/S", true), ("EVENTS", true), ("LOST", true), ("", false)];
/// Names longer than this leave no room for the rest.
const CELL_MAX: usize = 28;

pub fn all(screen: &mut Buffer, state: &mut State) {
    let (height, area) = (usize::from(screen.area.height), screen.area);
    let mut page = Page { screen, line: 0 };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    page.put(&summary(state), bold);
    match state.view.clone() {
        View::Containers => {
            let rows = state.sample.containers.iter().map(container).collect();
            page.table(&CONTAINERS, rows, state, height);
        }
        View::Tracers => {
            let rows = state.sample.tracers.iter().map(tracer).collect();
            page.table(&TRACERS, rows, state, height);
        }
        View::Inside(id, _) => page.inside(state, &id, height),
    }
    if area.height > 1 {
        page.line = area.height - 1;
        page.put(keys(&state.view), Style::new().add_modifier(Modifier::REVERSED));
    }
}

struct Page<'a> {
    screen: &'a mut Buffer,
    line: u16,
}

impl Page<'_> {
    /// A line, cut at the edge; what is below the screen is nowhere.
    fn put(&mut self, text: &str, style: Style) {
        let area = self.screen.area;
        if self.line < area.height {
            self.screen.set_stringn(area.x, area.y + self.line, text, area.width.into(), style);
        }
        self.line += 1;
    }

    fn table(&mut self, columns: &[Column], rows: Vec<Vec<String>>, state: &mut State, height: usize) {
        let room = height.saturating_sub(AROUND).max(1);
        let chosen = state.row();
        state.first = state.first.clamp((chosen + 1).saturating_sub(room), chosen);
        let (first, is_chosen) = (state.first, |i: usize| i == chosen);
        let head = self.rows(columns, &rows);
        self.put(&head.0, Style::new().add_modifier(Modifier::UNDERLINED));
        for (i, line) in head.1.iter().enumerate().skip(first).take(room) {
            let mark = if is_chosen(i) { Modifier::REVERSED } else { Modifier::empty() };
            self.put(line, Style::new().add_modifier(mark));
        }
    }

    /// Head and rows with their cells under each other.
    fn rows(&self, columns: &[Column], rows: &[Vec<String>]) -> (String, Vec<String>) {
        let cut = |text: &str| text.chars().take(CELL_MAX).collect::<String>();
        let last = columns.len() - 1;
        let wide = |i: usize| {
            rows.iter().filter_map(|r| r.get(i)).map(|c| cut(c).chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> =
            columns.iter().enumerate().map(|(i, (head, _))| wide(i).max(head.len())).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().enumerate().map(|(i, cell)| {
                let (number, width) = (columns[i].1, widths[i]);
                match (number, i == last) {
                    (_, true) => cell.clone(),
                    (true, _) => format!("{:>width$}", cut(cell)),
                    (false, _) => format!("{:width$}", cut(cell)),
                }
            });
            cells.collect::<Vec<_>>().join("  ")
        };
        let head: Vec<String> = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        (line(&head), rows.iter().map(|row| line(row)).collect())
    }

    /// Its tracers, then its last events, the newest at the bottom.
    fn inside(&mut self, state: &State, id: &str, height: usize) {
        let dim = Style::new().add_modifier(Modifier::DIM);
        let Some(container) = state.sample.containers.iter().find(|c| c.id == id) else {
            return self.put("it has ended; Esc goes back", dim);
        };
        self.put(&format!("{}  {}  {}", container.state, container.image, container.id), Style::new());
        if let Some(late) = &container.late {
            self.put(&format!("late: {late}"), dim);
        }
        let (head, lines) = self.rows(&COUNTS, &container.tracers.iter().map(count).collect::<Vec<_>>());
        self.put(&head, Style::new().add_modifier(Modifier::UNDERLINED));
        let half = (height / 2).max(1);
        lines.iter().take(half).for_each(|line| self.put(line, Style::new()));
        self.put("LAST EVENTS", Style::new().add_modifier(Modifier::UNDERLINED));
        let room = height.saturating_sub(usize::from(self.line) + 1);
        let events = &state.sample.events;
        events.iter().skip(events.len().saturating_sub(room)).for_each(|line| self.put(line, Style::new()));
    }
}

fn summary(state: &State) -> String {
    if let Some(problem) = &state.problem {
        return crate::decode::text::printable(problem);
    }
    let all = &state.sample.containers;
    let (events, lost) = (all.iter().map(|c| c.events).sum(), all.iter().map(|c| c.lost).sum::<u64>());
    let what = match &state.view {
        View::Containers => format!("sorted by {}", by(state.sort)),
        View::Tracers => "tracers, by their cost".to_owned(),
        View::Inside(_, name) => name.clone(),
    };
    format!("remora  {} containers  {} events/s  {lost} lost  {what}", all.len(), rate(events))
}

fn by(sort: Sort) -> &'static str {
    match sort {
        Sort::Events => "events",
        Sort::Cpu => "CPU",
        Sort::Memory => "memory",
        Sort::Lost => "lost events",
        Sort::Name => "name",
    }
}

fn keys(view: &View) -> &'static str {
    match view {
        View::Containers => " up/down choose  Enter look inside  s sort  t tracers  q end ",
        View::Tracers => " up/down choose  c containers  q end ",
        View::Inside(..) => " Esc back  t tracers  q end ",
    }
}

fn container(c: &Container) -> Vec<String> {
    let on = c.tracers.iter().filter(|t| t.on).map(|t| t.tracer.as_str());
    vec![
        c.name.clone(),
        rate(c.events),
        c.cpu.map_or_else(|| "-".into(), percent),
        c.memory.map_or_else(|| "-".into(), bytes),
        c.lost.to_string(),
        c.state.clone(),
        on.collect::<Vec<_>>().join(","),
    ]
}

fn tracer(t: &Tracer) -> Vec<String> {
    vec![
        t.name.clone(),
        t.state.clone(),
        t.containers.to_string(),
        rate(t.events),
        rate(t.runs),
        percent(t.cost),
        t.help.clone(),
    ]
}

fn count(c: &Count) -> Vec<String> {
    let off = if c.on { String::new() } else { "off".to_owned() };
    vec![c.tracer.clone(), rate(c.events), c.counted.to_string(), c.lost.to_string(), off]
}

fn rate(a_second: f64) -> String {
    if a_second >= 100.0 { format!("{a_second:.0}") } else { format!("{a_second:.1}") }
}

/// Of one processor.
fn percent(processors: f64) -> String {
    let percent = processors * 100.0;
    if percent > 0.0 && percent < 0.1 { format!("{percent:.3}") } else { format!("{percent:.1}") }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;
    use crate::cli::top::sample::Sample;

    fn state(n: usize) -> State {
        let of = |i: usize| Container {
            id: format!("id{i}"),
            name: format!("web{i}"),
            state: "running".into(),
            events: i as f64,
            cpu: Some(0.25),
            memory: Some(5 << 20),
            tracers: vec![Count { tracer: "t".into(), on: true, counted: 7, ..Count::default() }],
            ..Container::default()
        };
        let mut state = State::default();
        let tracers =
            vec![Tracer { name: "t".into(), cost: 0.0001, help: "tells".into(), ..Tracer::default() }];
        state.take(Sample {
            containers: (0..n).map(of).collect(),
            tracers,
            events: vec!["an event".into(); 50],
        });
        state
    }

    fn lines(state: &mut State, width: u16, height: u16) -> Vec<String> {
        let mut screen = Buffer::empty(Rect::new(0, 0, width, height));
        all(&mut screen, state);
        let line =
            |y: u16| (0..width).map(|x| screen[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    #[test]
    fn a_terminal_of_80_by_24() {
        let mut state = state(40);
        let shown = lines(&mut state, 80, 24);
        assert!(shown[0].starts_with("remora  40 containers"), "{shown:?}");
        assert!(
            shown[1].starts_with("NAME") && shown[1].contains("CPU %") && shown[1].contains("TRACERS"),
            "{shown:?}"
        );
        assert!(
            shown[2].starts_with("web39") && shown[2].contains("25.0") && shown[2].contains("5.0 MiB"),
            "{shown:?}"
        );
        assert!(shown[22].starts_with("web19") && shown[23].contains("q end"), "{shown:?}");
        state.chosen = Some("id0".into());
        assert!(lines(&mut state, 80, 24)[22].starts_with("web0"), "the chosen row is in sight");
    }

    #[test]
    fn each_view_at_each_size() {
        for view in [
            View::Containers,
            View::Tracers,
            View::Inside("id1".into(), "web1".into()),
            View::Inside("gone".into(), "x".into()),
        ] {
            for n in [0, 1, 100] {
                for (width, height) in [(1, 1), (1, 2), (20, 3), (80, 24), (300, 100)] {
                    let mut state = State { view: view.clone(), ..state(n) };
                    lines(&mut state, width, height);
                }
            }
        }
        let inside = View::Inside("id1".into(), "web1".into());
        let shown = lines(&mut State { view: inside, ..state(2) }, 80, 24);
        assert!(shown[22] == "an event" && shown[3].contains('7'), "{shown:?}");
    }

    #[test]
    fn what_is_wrong_stands_first() {
        let mut state = State { problem: Some("no daemon\u{1b}[2J".into()), ..state(1) };
        assert_eq!(lines(&mut state, 80, 24)[0], "no daemon\\u{1b}[2J");
    }
}
