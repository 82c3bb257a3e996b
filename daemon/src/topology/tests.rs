use super::*;

const OUT: &str = r#"{"flows":{"direction":"outgoing","connections":3,"sent":10,"received":90,"round_trip":0.002,
    "sent_packets":4,"received_packets":5,"first":"2026-01-01T00:00:01Z","last":"2026-01-01T00:00:05Z"},
    "network":{"transport":"tcp","local":{"address":"10.0.0.2"},"peer":{"address":"10.0.0.3"}},"server":{"port":80}}"#;

fn flows(rows: &[&str]) -> Vec<Flow> {
    Flow::read("flows", format!("[{}]", rows.join(",")).as_bytes()).unwrap()
}

fn turned_about(row: &str) -> String {
    let row = row.replace("outgoing", "incoming").replace("10.0.0.2", "X").replace("10.0.0.3", "10.0.0.2");
    row.replace('X', "10.0.0.3")
}

fn party(id: &str, network: u64, rows: &[&str]) -> Party {
    Party { id: id.into(), name: id.into(), pod: None, namespace: None, network, flows: Some(flows(rows)) }
}

/// Of those that run, nobody having ended.
fn join(parties: Vec<Party>) -> Topology {
    super::join(parties, &Past::default())
}

fn ends(topology: &Topology) -> Vec<(&str, &str, SeenBy)> {
    topology.edges.iter().map(|e| (e.source.as_str(), e.target.as_str(), e.seen_by)).collect()
}

#[test]
fn both_ends_are_one_edge() {
    let incoming = turned_about(OUT);
    let topology = join(vec![party("web", 1, &[OUT]), party("db", 2, &[&incoming])]);
    assert_eq!(ends(&topology), [("web", "db", SeenBy::Both)]);
    let edge = &topology.edges[0];
    assert_eq!((edge.connections, edge.sent_bytes, edge.received_bytes), (3, 10, 90));
    assert_eq!((edge.transport.as_str(), edge.port, edge.round_trip), ("tcp", 80, Some(0.002)));
    assert_eq!(topology.nodes.len(), 2);
    assert_eq!(topology.nodes[0].addresses, ["10.0.0.2"]);
}

#[test]
fn an_end_that_is_not_traced_is_a_peer() {
    let topology = join(vec![party("web", 1, &[OUT])]);
    assert_eq!(ends(&topology), [("web", "10.0.0.3", SeenBy::Source)]);
    assert_eq!(topology.nodes[1].kind, Kind::Peer);
    let incoming = turned_about(OUT);
    let topology = join(vec![party("db", 2, &[&incoming])]);
    assert_eq!(ends(&topology), [("10.0.0.2", "db", SeenBy::Target)]);
    // From the view of who began.
    assert_eq!((topology.edges[0].sent_bytes, topology.edges[0].received_bytes), (90, 10));
}

#[test]
fn an_address_leads_to_the_only_one_that_has_it() {
    let elsewhere = turned_about(OUT).replace("\"port\":80", "\"port\":81");
    let topology = join(vec![party("web", 1, &[OUT]), party("db", 2, &[&elsewhere])]);
    // Both know of the other, though not of the same service.
    assert_eq!(ends(&topology), [("web", "db", SeenBy::Source), ("web", "db", SeenBy::Target)]);
}

#[test]
fn of_several_in_a_network_namespace_nobody_can_tell_which() {
    let elsewhere = turned_about(OUT).replace("\"port\":80", "\"port\":81");
    let web = || party("web", 1, &[OUT]);
    let name =
        |topology: &Topology, id: &str| topology.nodes.iter().find(|n| n.id == id).unwrap().name.clone();
    let topology = join(vec![web(), party("db", 2, &[&elsewhere]), party("side", 2, &[])]);
    assert!(ends(&topology).contains(&("web", "network 2", SeenBy::Source)), "{topology:?}");
    assert_eq!(name(&topology, "network 2"), "network of db, side");
    // The one that says so itself is known all the same, and so is one of a pod or the host's.
    let incoming = turned_about(OUT);
    for party in
        [party("db", 2, &[&incoming]), Party { pod: Some("db-0".into()), ..party("db", 2, &[&incoming]) }]
    {
        let topology = join(vec![web(), party, party_of_none("side")]);
        assert_eq!(ends(&topology), [("web", "db", SeenBy::Both)]);
    }
    // A pod and the host have others whom nobody follows.
    let pod = Party { pod: Some("db-0".into()), ..party("db", 2, &[&elsewhere]) };
    let topology = join(vec![web(), pod]);
    assert!(ends(&topology).contains(&("web", "network 2", SeenBy::Source)));
    assert_eq!(
        (name(&topology, "network 2"), topology.nodes.last().unwrap().pod.as_deref()),
        ("pod db-0".into(), Some("db-0"))
    );
    let past = Past { host: 2, ended: vec![] };
    let topology = super::join(vec![web(), party("db", 2, &[&elsewhere])], &past);
    assert_eq!(name(&topology, "network 2"), "host");
}

fn party_of_none(id: &str) -> Party {
    party(id, 2, &[])
}

#[test]
fn who_is_gone_is_not_mistaken_for_who_is_left() {
    let (incoming, elsewhere) = (turned_about(OUT), turned_about(OUT).replace("\"port\":80", "\"port\":81"));
    let past = |second: u32| Past {
        host: 9,
        ended: vec![Ended { network: 2, at: format!("2026-01-01T00:00:0{second}Z") }],
    };
    let drawn = |rows: &[&str], past: &Past| {
        let topology = super::join(vec![party("web", 1, &[OUT]), party("db", 2, rows)], past);
        topology.edges.into_iter().map(|e| (e.target, e.port, e.connections)).collect::<Vec<_>>()
    };
    // It ended before web began, and while they talked.
    assert!(drawn(&[&elsewhere], &past(0)).contains(&("db".into(), 80, 3)));
    assert!(drawn(&[&elsewhere], &past(3)).contains(&("network 2".into(), 80, 3)));
    // Who is left has counted all of it, or only some.
    assert_eq!(drawn(&[&incoming], &past(3)), [("db".into(), 80, 3)]);
    let some = incoming.replace("\"connections\":3", "\"connections\":2");
    assert_eq!(drawn(&[&some], &past(3)), [("network 2".into(), 80, 3)]);
    // As one that asks, too.
    let asked = party("db", 2, &[&incoming]);
    let left = party("web", 1, &[&OUT.replace("\"port\":80", "\"port\":81")]);
    let past = Past { host: 9, ended: vec![Ended { network: 1, at: "2026-01-01T00:00:03Z".into() }] };
    assert!(ends(&super::join(vec![asked, left], &past)).contains(&("network 1", "db", SeenBy::Target)));
}

#[test]
fn of_two_that_serve_at_one_address_neither_is_taken_for_both() {
    let incoming = turned_about(OUT);
    let topology =
        join(vec![party("web", 1, &[OUT]), party("old", 2, &[&incoming]), party("new", 2, &[&incoming])]);
    assert_eq!(ends(&topology), [("web", "network 2", SeenBy::Source)]);
}

#[test]
fn loopback_is_that_of_one_namespace() {
    let local = OUT.replace("10.0.0.2", "127.0.0.1").replace("10.0.0.3", "127.0.0.1");
    let incoming = local.replace("outgoing", "incoming");
    let pod = vec![party("app", 7, &[&local]), party("proxy", 7, &[&incoming])];
    assert_eq!(ends(&join(pod)), [("app", "proxy", SeenBy::Both)]);
    let strangers = vec![party("app", 7, &[&local]), party("proxy", 8, &[&incoming])];
    assert!(ends(&join(strangers)).iter().all(|(source, target, _)| (*source, *target) != ("app", "proxy")));
}

#[test]
fn what_was_under_way_before_is_one_edge_too() {
    let (out, incoming) = (OUT.to_owned(), turned_about(OUT));
    let unknown = |row: &str| row.replace("outgoing", "unknown").replace("incoming", "unknown");
    for (web, db) in [
        (unknown(&out), incoming.clone()),
        (out.clone(), unknown(&incoming)),
        (unknown(&out), unknown(&incoming)),
    ] {
        for parties in [
            vec![party("web", 1, &[&web]), party("db", 2, &[&db])],
            vec![party("db", 2, &[&db]), party("web", 1, &[&web])],
        ] {
            assert_eq!(ends(&join(parties)), [("web", "db", SeenBy::Both)], "{web} {db}");
        }
    }
}

#[test]
fn a_table_of_another_name_is_read_by_it() {
    let row = OUT.replace("{\"flows\":", "{\"talks\":");
    assert_eq!(Flow::read("talks", format!("[{row}]").as_bytes()).unwrap(), flows(&[OUT]));
    assert!(Flow::read("flows", format!("[{row}]").as_bytes()).is_err());
}

#[test]
fn a_container_may_talk_to_itself() {
    let local = OUT.replace("10.0.0.2", "127.0.0.1").replace("10.0.0.3", "127.0.0.1");
    let incoming = local.replace("outgoing", "incoming");
    assert_eq!(ends(&join(vec![party("app", 7, &[&local, &incoming])])), [("app", "app", SeenBy::Both)]);
}

#[test]
fn what_is_not_kept_apart_is_others_and_who_is_not_looked_at_is_named() {
    let rest = r#"{"flows":{"direction":"outgoing","others":true,"sent":1,"received":2,"sent_packets":1,
        "received_packets":1,"first":"","last":""},"network":{"transport":"tcp"}}"#;
    let blind = Party { flows: None, ..party("blind", 3, &[]) };
    let topology = join(vec![party("web", 1, &[rest]), blind]);
    assert_eq!(ends(&topology), [("web", "others", SeenBy::Source)]);
    assert_eq!(topology.unseen, ["blind"]);
}

#[test]
fn an_address_of_version_4_is_the_same_in_either_form() {
    let mapped = turned_about(OUT).replace("10.0.0.", "::ffff:10.0.0.");
    let topology = join(vec![party("web", 1, &[OUT]), party("db", 2, &[&mapped])]);
    assert_eq!(ends(&topology), [("web", "db", SeenBy::Both)]);
}

#[test]
fn names_that_are_not_alone_have_an_id() {
    let mut topology = join(vec![party("web", 1, &[]), party("db", 2, &[])]);
    topology.nodes[1].name = "web".into();
    assert_eq!(topology.names()["db"], "web (db)");
}
