use super::*;
use crate::oci::{Identity, Pod};
use crate::registry::record::Ledger;
use crate::topology::SeenBy;

fn view(id: &str, namespace: &str, labels: &[(&str, &str)]) -> View {
    let pod = Pod { name: format!("{id}-7c9f"), namespace: namespace.into(), uid: id.into() };
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    View {
        id: id.into(),
        name: id.into(),
        state: "running".into(),
        pid: 1,
        cgroup_id: 1,
        cgroup_path: String::new(),
        identity: Identity { id: id.into(), name: id.into(), pod: Some(pod), labels, ..Identity::default() },
        namespaces: Default::default(),
        tracers: Vec::new(),
        ledger: Ledger::default(),
    }
}

fn node(id: &str, kind: Kind) -> Node {
    Node {
        id: id.into(),
        kind,
        name: id.into(),
        pod: None,
        namespace: None,
        addresses: vec!["10.0.0.9".into()],
    }
}

fn edge(source: &str, target: &str, transport: &str, port: u16) -> Edge {
    Edge {
        source: source.into(),
        target: target.into(),
        transport: transport.into(),
        port,
        seen_by: SeenBy::Source,
        connections: 1,
        failures: 0,
        active: 0,
        sent_bytes: 0,
        received_bytes: 0,
        sent_packets: 0,
        received_packets: 0,
        retransmits: 0,
        round_trip: None,
        first: String::new(),
        last: String::new(),
    }
}

fn policy(edges: Vec<Edge>) -> (Value, Vec<String>) {
    let web = view("web", "shop", &[("app", "web"), ("pod-template-hash", "7c9f")]);
    let views = [
        web.clone(),
        view("db", "shop", &[("app", "db")]),
        view("bus", "infra", &[("app", "bus")]),
        view("bare", "shop", &[]),
    ];
    let containers = ["web", "db", "bus", "bare"].map(|id| node(id, Kind::Container));
    let others = [
        node("192.0.2.7", Kind::Peer),
        node("2001:db8::1", Kind::Peer),
        node("127.0.0.1", Kind::Peer),
        node("others", Kind::Others),
    ];
    let topology =
        Topology { nodes: containers.into_iter().chain(others).collect(), edges, ..Topology::default() };
    let known = Known { topology: &topology, views: views.iter().map(|v| (v.id.as_str(), v)).collect() };
    known.policy(&web, &steady(&web))
}

#[test]
fn pods_are_told_by_labels_and_the_rest_by_address() {
    let (policy, notes) = policy(vec![
        edge("web", "db", "tcp", 5432),
        edge("web", "bus", "tcp", 5672),
        edge("web", "bus", "tcp", 15672),
        edge("web", "2001:db8::1", "udp", 53),
        edge("192.0.2.7", "web", "tcp", 80),
        edge("web", "bare", "tcp", 1),
        edge("db", "bus", "tcp", 9),
    ]);
    assert_eq!(policy["metadata"], json!({ "name": "web", "namespace": "shop" }));
    assert_eq!(policy["spec"]["podSelector"], json!({ "matchLabels": { "app": "web" } }));
    assert_eq!(
        policy["spec"]["ingress"],
        json!([{ "from": [{ "ipBlock": { "cidr": "192.0.2.7/32" } }], "ports": [{ "protocol": "TCP", "port": 80 }] }])
    );
    let egress = policy["spec"]["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 4, "{policy}");
    let to = |rule: &Value| rule["to"][0].clone();
    let rule = |peer: Value| {
        egress.iter().find(|r| to(r) == peer).unwrap_or_else(|| panic!("no {peer} in {policy}"))
    };
    let db = rule(json!({ "podSelector": { "matchLabels": { "app": "db" } } }));
    assert_eq!(db["ports"], json!([{ "protocol": "TCP", "port": 5432 }]));
    let bus =
        egress.iter().find(|r| r["to"][0]["namespaceSelector"]["matchLabels"][NAMESPACE] == "infra").unwrap();
    assert_eq!(bus["ports"].as_array().map(Vec::len), Some(2));
    rule(json!({ "ipBlock": { "cidr": "2001:db8::1/128" } }));
    rule(json!({ "ipBlock": { "cidr": "10.0.0.9/32" } }));
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn what_cannot_be_allowed_is_told() {
    let in_vain = Edge { connections: 0, failures: 3, ..edge("web", "192.0.2.7", "tcp", 81) };
    let (policy, notes) = policy(vec![
        in_vain,
        edge("web", "others", "tcp", 0),
        edge("web", "192.0.2.7", "icmp", 0),
        edge("web", "127.0.0.1", "tcp", 8080),
    ]);
    assert_eq!(policy["spec"]["egress"], json!([]), "{policy}");
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn it_is_what_kubernetes_reads() {
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    let (policy, _) = policy(vec![edge("web", "bus", "tcp", 5672), edge("192.0.2.7", "web", "udp", 0)]);
    let read: NetworkPolicy = serde_json::from_value(policy.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), policy);
}

#[test]
fn names_are_those_of_objects() {
    assert_eq!(object_name("My_App.1"), "my-app-1");
    assert_eq!(object_name("_"), "remora");
    assert_eq!(object_name(&"x".repeat(80)).len(), 63);
}
