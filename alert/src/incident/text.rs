//! An incident in sentences.

use super::kept::Kept;
use super::open::Open;
use super::story::{Point, Story, Tie, What};
use crate::shown;
use crate::time;

const TITLE: usize = 200;
const TEXT: usize = 4000;
/// Alarms named in the text.
const ALARMS: usize = 8;
/// Things that one process did, named in one sentence.
const CLAUSES: usize = 8;
/// Sentences about processes.
const SENTENCES: usize = 16;
/// How often a sentence goes on with "which".
const WHICH: usize = 3;
const STARTED: &str = "started ";

/// The weightiest alarm, and of how many.
pub fn title(open: &Open) -> String {
    let weightiest = weightiest(open);
    let Some(alarm) = weightiest.first() else { return open.id.clone() };
    let name = open.parts.get(alarm.container).map_or("", |part| &part.name);
    let others = match open.parts.len() {
        0 | 1 => String::new(),
        2 => " and another container".to_owned(),
        parts => format!(" and {} other containers", parts - 1),
    };
    let more = match weightiest.len() + open.left_out as usize {
        1 => String::new(),
        all => format!(", and {} more", all - 1),
    };
    let room = TITLE.saturating_sub(name.chars().count() + others.len() + more.len() + 2).max(40);
    shown::line(&format!("{name}{others}: {}{more}", shown::line(&alarm.summary, room)), TITLE)
}

fn weightiest(open: &Open) -> Vec<&Kept> {
    let mut alarms: Vec<&Kept> = open.alarms.iter().collect();
    alarms.sort_by(|a, b| {
        let heavier =
            (b.severity, b.score).partial_cmp(&(a.severity, a.score)).unwrap_or(std::cmp::Ordering::Equal);
        heavier.then_with(|| (a.first, &a.id).cmp(&(b.first, &b.id)))
    });
    alarms
}

pub fn text(open: &Open, lost: u64) -> String {
    let mut sentences = Vec::new();
    for (number, part) in open.parts.iter().enumerate() {
        let told = Teller::new(&open.story).part(number);
        if let Some((first, more)) = told.split_first() {
            sentences.push(format!("In {} ({}), {first}", part.name, part.image));
            sentences.extend(more.iter().cloned());
        }
    }
    sentences.push(noticed(open));
    sentences.push(match lost {
        0 => "No event of it was lost.".to_owned(),
        1 => "One event was lost meanwhile: there may be more to it.".to_owned(),
        lost => format!("{lost} events were lost meanwhile: there may be more to it."),
    });
    shown::line(&sentences.join(" "), TEXT)
}

fn noticed(open: &Open) -> String {
    let one = |alarm: &&Kept| {
        let times = if alarm.count > 1 { format!(", {} times", alarm.count) } else { String::new() };
        let clock = time::format(alarm.first)[11..19].to_owned();
        let summary = shown::line(&alarm.summary, 200);
        format!("{summary} ({}, {}, {clock}{times})", alarm.rule, alarm.severity.name())
    };
    let all = weightiest(open);
    let named: Vec<String> = all.iter().take(ALARMS).map(one).collect();
    let more = (all.len() - named.len()) as u64 + open.left_out;
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("Noticed: {}{more}.", named.join("; "))
}

/// How a process came to be.
pub fn made(point: &Point) -> &'static str {
    match &point.what {
        What::Process { command, .. } if command.is_empty() => "forked",
        _ => "executed",
    }
}

/// What was done, when, by which pid, in which container: for the timeline.
pub fn doings(story: &Story) -> Vec<(u64, u64, usize, String)> {
    let teller = Teller::new(story);
    let mut all = Vec::new();
    for (at, point) in story.points.iter().enumerate() {
        let What::Process { pid, .. } = point.what else { continue };
        if let Some(parent) = story.parent(at) {
            all.push((
                point.first,
                pid,
                point.container,
                format!("{} {}", teller.who(parent), teller.start(at)),
            ));
        }
        for tie in story.ties.iter().filter(|tie| tie.from == at) {
            all.push((tie.first, pid, point.container, format!("{} {}", teller.who(at), teller.did(tie))));
        }
    }
    all.sort_by_key(|doing| doing.0);
    all
}

struct Teller<'s> {
    story: &'s Story,
    told: Vec<bool>,
}

impl<'s> Teller<'s> {
    fn new(story: &'s Story) -> Self {
        Self { story, told: vec![false; story.points.len()] }
    }

    /// By name, and by pid where several have that name.
    fn who(&self, at: usize) -> String {
        let point = &self.story.points[at];
        let same = |p: &&Point| p.label == point.label && p.container == point.container;
        match (&point.what, self.story.points.iter().filter(same).count()) {
            (What::Process { pid, .. }, 2..) => format!("{} (pid {pid})", point.label),
            _ => point.label.to_string(),
        }
    }

    fn start(&self, at: usize) -> String {
        match &self.story.points[at].what {
            What::Process { command, .. } if command.is_empty() => "forked".to_owned(),
            What::Process { command, .. } => format!("{STARTED}{}", shown::line(command, 80)),
            _ => self.who(at),
        }
    }

    fn did(&self, tie: &Tie) -> String {
        let object = &self.story.points[tie.to];
        let name = match object.what {
            What::File => shown::word(&object.label, 100),
            _ => object.label.to_string(),
        };
        let failed = if tie.failed { " (failed)" } else { "" };
        let times = if tie.count > 1 { format!(" ({} times)", tie.count) } else { String::new() };
        format!("{}{failed}{times}", phrase(&tie.kind, &name))
    }

    /// What a process did, in order of time, and which process it started, if that.
    fn clauses(&self, at: usize) -> Vec<(u64, String, Option<usize>)> {
        let story = self.story;
        let children = (0..story.points.len()).filter(|child| story.parent(*child) == Some(at));
        let mut all: Vec<_> = children
            .filter(|child| made(&story.points[*child]) == "executed" || self.does(*child))
            .map(|child| (story.points[child].first, self.start(child), Some(child)))
            .collect();
        // What it executed is its name.
        let ties = story.ties.iter().filter(|tie| tie.from == at && &*tie.kind != "executed");
        all.extend(ties.map(|tie| (tie.first, self.did(tie), None)));
        all.sort_by_key(|clause| clause.0);
        all
    }

    fn does(&self, at: usize) -> bool {
        self.story.ties.iter().any(|tie| tie.from == at && &*tie.kind != "executed")
            || (0..self.story.points.len()).any(|child| self.story.parent(child) == Some(at))
    }

    fn part(mut self, number: usize) -> Vec<String> {
        let points = &self.story.points;
        let of_it =
            |at: &usize| points[*at].container == number && matches!(points[*at].what, What::Process { .. });
        let mut order: Vec<usize> = (0..points.len()).filter(of_it).collect();
        order.sort_by_key(|at| points[*at].first);
        let mut sentences = Vec::new();
        for at in order {
            if !self.told[at] && sentences.len() < SENTENCES {
                sentences.extend(self.sentence(at));
            }
        }
        sentences
    }

    fn sentence(&mut self, at: usize) -> Option<String> {
        let outside = matches!(self.story.points[at].what, What::Process { outside: true, .. });
        let mut sentence = match outside {
            true => format!("somebody outside {}", self.start(at)),
            false => self.who(at),
        };
        if !self.does(at) {
            return outside.then(|| sentence + ".");
        }
        if outside {
            sentence.push_str(", which");
        }
        let mut now = at;
        for which in 0..=WHICH {
            self.told[now] = true;
            let clauses = self.clauses(now);
            sentence.push(' ');
            sentence.push_str(&list(clauses.iter().map(|(_, clause, _)| clause.as_str())));
            match clauses.last() {
                Some((_, _, Some(child))) if which < WHICH && self.does(*child) => now = *child,
                _ => break,
            }
            sentence.push_str(", which");
        }
        Some(sentence + ".")
    }
}

fn list<'c>(clauses: impl Iterator<Item = &'c str>) -> String {
    let all: Vec<&str> = clauses.collect();
    let more = all.len().saturating_sub(CLAUSES);
    let mut named: Vec<String> = Vec::new();
    for (at, clause) in all.iter().enumerate().take(CLAUSES) {
        let again = at > 0 && all[at - 1].starts_with(STARTED);
        named.push(clause.strip_prefix(STARTED).filter(|_| again).unwrap_or(clause).to_owned());
    }
    if more > 0 {
        named.push(format!("did {more} more things"));
    }
    match named.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

fn phrase(kind: &str, object: &str) -> String {
    let did = match kind {
        "connected" => "connected to",
        "talked" => "talked to",
        "requested" => "made a request of",
        "accepted" => "was connected to by",
        "asked" => "looked up",
        "listened" => "listened on",
        "chmod" => "changed the mode of",
        "chown" => "changed the owner of",
        "unlink" => "removed",
        "rename" => "gave a file the name",
        "link" | "symlink" => "made the link",
        "mkdir" => "made the directory",
        "mknod" => "made the special file",
        "truncate" => "cut",
        "wrote" | "opened" | "executed" | "used" | "changed" => kind,
        other => return format!("did {other} with {object}"),
    };
    format!("{did} {object}")
}
