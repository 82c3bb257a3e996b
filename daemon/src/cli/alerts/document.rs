//! An incident as headings, facts and a tree, as a report is.

use std::collections::BTreeSet;

use remora_alert::alarm::{Alarm, Severity};
use remora_alert::incident::{Edge, Incident, Moment, Node};

use super::{clock, containers, word};
use crate::cli::report::document::{Body, Branch, Document, Part};

pub fn of(incident: &Incident) -> Document {
    let Incident { id, severity, text, timeline, alarms, graph, .. } = incident;
    let story = text.lines().map(str::to_owned).collect();
    let mut parts = vec![
        part("What happened", story, Body::Facts(Vec::new())),
        part("In short", Vec::new(), short(incident)),
    ];
    parts.push(part(
        "In order",
        Vec::new(),
        table(&["TIME", "CONTAINER", "PID", "", "WHAT"], timeline, moment),
    ));
    if !graph.nodes.is_empty() {
        let tree = Body::Tree(tree(&graph.nodes, &graph.edges));
        parts.push(part("Who did what", Vec::new(), tree));
    }
    parts.push(part(
        "Alarms",
        Vec::new(),
        table(&["SEVERITY", "RULE", "TIMES", "PROCESS", "SAYS"], alarms, alarm),
    ));
    Document { title: format!("{id}, {}: {}", severity.name(), incident.title), parts }
}

fn part(heading: &str, notes: Vec<String>, body: Body) -> Part {
    Part { heading: heading.to_owned(), notes, body }
}

fn short(incident: &Incident) -> Body {
    let Incident { state, score, first, last, over, tags, rules, image, ledger, .. } = incident;
    let lost = match ledger.complete {
        true => "nothing was lost".to_owned(),
        false => format!("{} events were lost: something may be missing here", ledger.lost),
    };
    let facts = [
        ("state", word(*state).to_owned()),
        ("score", format!("{score:.1}")),
        ("containers", containers(incident)),
        ("image", image.clone()),
        ("first", first.clone()),
        ("last", last.clone()),
        ("over", over.clone().unwrap_or_default()),
        ("tags", tags.join(", ")),
        ("rules", rules.join(", ")),
        ("account", lost),
        ("left out", if ledger.left_out > 0 { ledger.left_out.to_string() } else { String::new() }),
    ];
    let told = facts.into_iter().filter(|(_, said)| !said.is_empty());
    Body::Facts(told.map(|(name, said)| (name.to_owned(), said)).collect())
}

fn table<T>(head: &[&str], all: &[T], row: impl Fn(&T) -> Vec<String>) -> Body {
    Body::Table { head: head.iter().map(|h| (*h).to_owned()).collect(), rows: all.iter().map(row).collect() }
}

fn moment(moment: &Moment) -> Vec<String> {
    let said = if moment.alarm.is_some() { moment.severity.name() } else { "" };
    vec![
        clock(&moment.time).to_owned(),
        moment.container.clone(),
        moment.pid.to_string(),
        said.to_owned(),
        moment.text.clone(),
    ]
}

fn alarm(alarm: &Alarm) -> Vec<String> {
    vec![
        alarm.severity.name().to_owned(),
        alarm.rule.clone(),
        alarm.count.to_string(),
        format!("{} ({})", alarm.process.comm, alarm.process.pid),
        alarm.summary.clone(),
    ]
}

/// What was done stands below who did it. What several did stands below each, but its own deeds only once.
fn tree(nodes: &[Node], edges: &[Edge]) -> Vec<Branch> {
    let asked: BTreeSet<&str> = edges.iter().filter(|e| e.from != e.to).map(|e| e.to.as_str()).collect();
    let mut told = BTreeSet::new();
    let mut roots = Vec::new();
    // In a ring nobody is a root; the first that is listed is taken.
    for only_roots in [true, false] {
        for node in nodes {
            let is_root = !asked.contains(node.id.as_str());
            if is_root == only_roots && !told.contains(node.id.as_str()) {
                roots.push(branch(node, None, nodes, edges, &mut told));
            }
        }
    }
    roots
}

fn branch<'g>(
    node: &'g Node,
    by: Option<&Edge>,
    nodes: &'g [Node],
    edges: &'g [Edge],
    told: &mut BTreeSet<&'g str>,
) -> Branch {
    let below = if told.insert(&node.id) {
        let own = edges.iter().filter(|e| e.from == node.id && e.to != node.id);
        let ends = own.filter_map(|e| Some((e, nodes.iter().find(|n| n.id == e.to)?)));
        ends.map(|(edge, to)| branch(to, Some(edge), nodes, edges, told)).collect()
    } else {
        Vec::new()
    };
    let act = by.map_or_else(String::new, |edge| format!("{} ", edge.kind));
    let more = [
        node.pid.map(|pid| pid.to_string()),
        by.filter(|edge| edge.count > 1).map(|edge| format!("{} times", edge.count)),
        node.alarmed.then(|| "an alarm speaks of it".to_owned()),
    ];
    let more = more.into_iter().flatten().collect::<Vec<_>>().join(", ");
    Branch { text: format!("{act}{}", node.label), more, below }
}

/// The names that severities have, from the least on.
pub fn severities() -> Vec<&'static str> {
    Severity::ALL.iter().map(|s| s.name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, alarmed: bool) -> Node {
        Node { id: id.into(), kind: "process".into(), label: id.into(), pid: None, alarmed }
    }

    fn edge(from: &str, to: &str, count: u64) -> Edge {
        Edge { from: from.into(), to: to.into(), kind: "executed".into(), count }
    }

    fn lines(all: &[Branch], depth: usize) -> Vec<String> {
        let of = |b: &Branch| {
            let own = format!("{}{}|{}", " ".repeat(depth), b.text, b.more);
            [vec![own], lines(&b.below, depth + 1)].concat()
        };
        all.iter().flat_map(of).collect()
    }

    #[test]
    fn deeds_stand_below_who_did_them() {
        let nodes = [node("sh", false), node("x", true), node("alone", false)];
        let edges = [edge("sh", "x", 1), edge("x", "sh2", 1), edge("sh", "x", 3), edge("x", "x", 1)];
        let told = lines(&tree(&nodes, &edges), 0);
        assert_eq!(
            told,
            [
                "sh|",
                " executed x|an alarm speaks of it",
                " executed x|3 times, an alarm speaks of it",
                "alone|"
            ]
        );
    }

    #[test]
    fn rings_end() {
        let told =
            lines(&tree(&[node("a", false), node("b", false)], &[edge("a", "b", 1), edge("b", "a", 1)]), 0);
        assert_eq!(told, ["a|", " executed b|", "  executed a|"]);
    }
}
