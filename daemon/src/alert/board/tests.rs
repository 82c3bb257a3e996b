use remora_alert::incident::{Graph, Ledger};
use serde_json::json;

use super::*;

pub(in crate::alert) fn incident(id: &str, state: State, severity: Severity) -> Incident {
    let subject = json!({ "container": { "id": "c-1", "name": "web", "image": { "name": "shop" } },
        "k8s": { "pod": { "name": "web-0" }, "namespace": { "name": "prod" } } });
    let serde_json::Value::Object(subject) = subject else { panic!("no object") };
    Incident {
        id: id.to_owned(),
        state,
        severity,
        score: 12.5,
        title: "In web, sh was executed \u{202e}from memory".to_owned(),
        text: "nginx started sh,\nwhich \"connected\"]".to_owned(),
        first: "2026-01-01T00:00:00.000000000Z".to_owned(),
        last: "2026-01-01T00:00:01.123456789Z".to_owned(),
        over: (state == State::Over).then(|| "2026-01-01T00:15:01.000000000Z".to_owned()),
        tags: vec!["T1059.004".to_owned(), "execution".to_owned()],
        rules: vec!["from-memory".to_owned(), "shell".to_owned()],
        image: "shop".to_owned(),
        workload: "prod/web-0".to_owned(),
        subjects: vec![subject],
        alarms: Vec::new(),
        alarms_total: 3,
        graph: Graph::default(),
        timeline: Vec::new(),
        ledger: Ledger { complete: true, lost: 0, left_out: 0 },
    }
}

#[test]
fn an_incident_that_is_told_again_is_one() {
    let board = Board::default();
    board.incident(&incident("i-1", State::Open, Severity::Medium));
    board.incident(&incident("i-2", State::Open, Severity::High));
    board.incident(&incident("i-1", State::Over, Severity::High));
    let ids: Vec<_> = board.incidents().iter().map(|i| (i.id.clone(), i.state)).collect();
    assert_eq!(ids, [("i-2".to_owned(), Some(State::Open)), ("i-1".to_owned(), Some(State::Over))]);
    let followed: Vec<u64> = board.after(1).told.iter().map(|t| t.number).collect();
    assert_eq!(followed, [2, 3]);
    let figures = board.figures();
    assert_eq!(figures.incidents.into_values().sum::<u64>(), 2);
    let whole: Incident = serde_json::from_str(&board.find("i-1").unwrap().whole).unwrap();
    assert_eq!(whole.severity, Severity::High);
    assert!(!board.find("i-1").unwrap().whole.contains('\u{202e}'));
    assert!(board.find("i-1").unwrap().is_of("web") && !board.find("i-1").unwrap().is_of("other"));
}

#[test]
fn what_is_open_stays_longest_and_who_is_slow_is_told() {
    let board = Board::default();
    board.incident(&incident("open", State::Open, Severity::Low));
    for i in 0..2000 {
        board.incident(&incident(&format!("i-{i}"), State::Over, Severity::Low));
    }
    assert_eq!(board.incidents().len(), INCIDENTS);
    assert!(board.find("open").is_some() && board.find("i-0").is_none());
    let page = board.after(0);
    assert_eq!(page.missed_to, Some(2001 - page.told.len() as u64));
    assert!(page.told.len() <= TOLD && board.after(page.missed_to.unwrap()).missed_to.is_none());
}
