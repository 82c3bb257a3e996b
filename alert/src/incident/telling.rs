//! An incident as it is told.

use serde_json::{Map, Value};

use super::ground::Ground;
use super::kept::Kept;
use super::open::Open;
use super::story::{Point, What};
use super::text;
use super::told::{Edge, Graph, Incident, Ledger, Moment, Node, State};
use crate::alarm::Severity;
use crate::shown;
use crate::time;

/// Containers drawn, where there are several.
const CONTAINERS: usize = 8;
const MOMENTS: usize = 128;
const EDGES: usize = 128;
/// Characters of a node's label.
const LABEL: usize = 80;

/// Tells it as it is now.
pub fn tell(open: &mut Open, ground: &Ground, now: u64) -> Incident {
    for part in &mut open.parts {
        let known = ground.processes.container(&part.id);
        part.lost.1 = known.map_or(part.lost.1, |c| c.lost.max(part.lost.1));
    }
    open.said(now);
    let lost = open.parts.iter().map(|part| part.lost.1 - part.lost.0).sum();
    let subjects: Vec<Map<String, Value>> =
        open.parts.iter().map(|part| serde_json::from_str(&part.subject).unwrap_or_default()).collect();
    let began = open.alarms.iter().min_by_key(|alarm| alarm.first).map_or(0, |alarm| alarm.container);
    let (timeline, more) = timeline(open);
    let over = (open.state == State::Over).then(|| time::format(now));
    Incident {
        id: open.id.clone(),
        state: open.state,
        severity: open.weight.severity(),
        score: open.weight.score(),
        title: text::title(open),
        text: text::text(open, lost),
        first: time::format(open.first),
        last: time::format(open.last),
        over,
        tags: open.weight.tags(),
        rules: open.weight.rules(),
        image: open.parts.get(began).map_or_else(String::new, |part| part.image.to_string()),
        workload: open.parts.get(began).map_or_else(String::new, |part| part.workload.to_string()),
        alarms: alarms(open, &subjects),
        subjects,
        alarms_total: open.total,
        graph: graph(open),
        timeline,
        ledger: Ledger { complete: lost == 0, lost, left_out: open.left_out + open.story.left_out + more },
    }
}

fn in_order(open: &Open) -> Vec<&Kept> {
    let mut alarms: Vec<&Kept> = open.alarms.iter().collect();
    alarms.sort_by(|a, b| (a.first, &a.id).cmp(&(b.first, &b.id)));
    alarms
}

fn alarms(open: &Open, subjects: &[Map<String, Value>]) -> Vec<crate::alarm::Alarm> {
    let none = Map::new();
    let subject = |alarm: &Kept| subjects.get(alarm.container).unwrap_or(&none);
    in_order(open).into_iter().map(|alarm| alarm.alarm(subject(alarm), &open.id)).collect()
}

fn node_id(at: usize, point: &Point) -> String {
    let kind = match point.what {
        What::Process { .. } => 'p',
        What::File => 'f',
        What::Peer => 'n',
    };
    format!("{kind}{}", at + 1)
}

fn graph(open: &Open) -> Graph {
    let story = &open.story;
    let ids: Vec<String> = story.points.iter().enumerate().map(|(at, point)| node_id(at, point)).collect();
    let mut graph = Graph::default();
    for (point, id) in story.points.iter().zip(&ids) {
        let (kind, pid, label) = match &point.what {
            What::Process { pid, command, .. } if command.is_empty() => ("process", Some(*pid), &point.label),
            What::Process { pid, command, .. } => ("process", Some(*pid), command),
            What::File => ("file", None, &point.label),
            What::Peer => ("peer", None, &point.label),
        };
        let (id, kind, label) = (id.clone(), kind.to_owned(), shown::line(label, LABEL));
        graph.nodes.push(Node { id, kind, label, pid, alarmed: point.alarmed });
    }
    let edge = |from: usize, to: usize, kind: &str, count| Edge {
        from: ids[from].clone(),
        to: ids[to].clone(),
        kind: kind.to_owned(),
        count,
    };
    let parents = (0..ids.len()).filter_map(|at| Some((story.parent(at)?, at)));
    graph.edges.extend(parents.map(|(parent, at)| edge(parent, at, text::made(&story.points[at]), 1)));
    graph.edges.extend(story.ties.iter().map(|tie| edge(tie.from, tie.to, &tie.kind, tie.count)));
    containers(open, &ids, &mut graph);
    graph.edges.truncate(EDGES);
    graph
}

/// Where there are several containers, each is drawn with the processes that come of nothing else.
fn containers(open: &Open, ids: &[String], graph: &mut Graph) {
    if open.parts.len() < 2 {
        return;
    }
    for (number, part) in open.parts.iter().enumerate().take(CONTAINERS) {
        let id = format!("c{}", number + 1);
        let of_it = |at: &usize| {
            let point = &open.story.points[*at];
            let is_process = matches!(point.what, What::Process { .. });
            is_process && point.container == number && open.story.parent(*at).is_none()
        };
        let runs = (0..ids.len()).filter(of_it);
        let edges =
            runs.map(|at| Edge { from: id.clone(), to: ids[at].clone(), kind: "runs".to_owned(), count: 1 });
        graph.edges.extend(edges);
        let (kind, label) = ("container".to_owned(), part.name.to_string());
        graph.nodes.push(Node { id, kind, label, pid: None, alarmed: false });
    }
}

/// And how many moments it has no room for.
fn timeline(open: &Open) -> (Vec<Moment>, u64) {
    let name = |part: usize| open.parts.get(part).map_or_else(String::new, |part| part.name.to_string());
    let mut moments: Vec<(u64, Moment)> = Vec::new();
    for alarm in in_order(open) {
        let moment = Moment {
            time: time::format(alarm.first),
            container: name(alarm.container),
            pid: alarm.actor.pid,
            severity: alarm.severity,
            alarm: Some(alarm.id.to_string()),
            text: shown::line(&alarm.summary, 240),
        };
        moments.push((alarm.first, moment));
    }
    let spoken: Vec<(u64, u64)> = open.alarms.iter().map(|alarm| (alarm.first, alarm.actor.pid)).collect();
    for (when, pid, part, text) in text::doings(&open.story) {
        // The alarm says it already.
        if !spoken.contains(&(when, pid)) {
            let (container, time) = (name(part), time::format(when));
            moments
                .push((when, Moment { time, container, pid, severity: Severity::Info, alarm: None, text }));
        }
    }
    let more = moments.len().saturating_sub(MOMENTS) as u64;
    // Alarms stand before what no alarm speaks of.
    moments.truncate(MOMENTS);
    moments.sort_by_key(|(when, _)| *when);
    (moments.into_iter().map(|(_, moment)| moment).collect(), more)
}
