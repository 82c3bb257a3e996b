//! The network map, of containers with addresses of their own, against what their peers counted.

use std::{
    fs,
    process::{Child, Command},
};

use remora_tests::{Bed, Bundle, output, run, wait_for};
use serde_json::{Value, json};

/// Network namespaces on a bridge in another one: nothing of the host's own network is touched.
struct Net {
    names: Vec<String>,
}

impl Net {
    /// One namespace each, at 10.77.0.1, .2 and so on.
    fn new(bed: &Bed, hosts: &[&str]) -> Self {
        let ip = |args: &str| run(Command::new("ip").args(args.split(' ')));
        let name = |host: &str| format!("{}-{host}", bed.name());
        let mut net = Self { names: Vec::new() };
        let hub = name("hub");
        ip(&format!("netns add {hub}"));
        net.names.push(hub.clone());
        ip(&format!("-n {hub} link add br0 type bridge"));
        ip(&format!("-n {hub} link set br0 up"));
        for (i, host) in hosts.iter().enumerate() {
            let space = name(host);
            ip(&format!("netns add {space}"));
            net.names.push(space.clone());
            ip(&format!("-n {space} link add eth0 type veth peer name port{i} netns {hub}"));
            ip(&format!("-n {hub} link set port{i} master br0 up"));
            ip(&format!("-n {space} addr add 10.77.0.{}/24 dev eth0", i + 1));
            ip(&format!("-n {space} link set eth0 up"));
            ip(&format!("-n {space} link set lo up"));
        }
        net
    }

    fn path(&self, host: usize) -> String {
        format!("/run/netns/{}", self.names[host + 1])
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = output(Command::new("ip").args(["netns", "del", name]));
        }
    }
}

/// A container with a network of its own.
fn container(bed: &Bed, net: &Net, host: usize, id: &str, trace: &str, script: &str) -> Bundle {
    Bundle::with(bed, id, &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = trace.into();
        let spaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        spaces.push(json!({ "type": "network", "path": net.path(host) }));
    })
}

/// A server in the outside that answers one connection, and writes down what it got.
fn outside(bed: &Bed, net: &Net, host: usize, port: u16) -> Child {
    fs::write(bed.path("answer"), "thanks").expect("failed to write");
    let file = |name: &str| {
        fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(bed.path(name))
            .expect("no file")
    };
    let mut serve = Command::new("ip");
    serve.args(["netns", "exec", &net.names[host + 1], "busybox", "nc", "-l", "-p", &port.to_string()]);
    serve.stdin(file("answer")).stdout(file("got")).spawn().expect("failed to start a server")
}

fn started(bundles: &[&Bundle]) -> Vec<Child> {
    let children = bundles.iter().map(|b| b.start()).collect();
    bundles.iter().for_each(|b| {
        wait_for("the container to run", || b.pid());
    });
    children
}

fn edge<'m>(map: &'m Value, source: &str, target: &str, port: u16) -> Option<&'m Value> {
    let is = |e: &&Value| e["source"] == source && e["target"] == target && e["port"] == port;
    map["edges"].as_array().expect("edges").iter().find(is)
}

#[test]
fn both_ends_are_one_edge_and_no_end_is_blank() {
    let mut bed = Bed::cold().with("tracers", "preload = [\"flow\"]");
    bed.start();
    let net = Net::new(&bed, &["web", "db", "world"]);
    let mut world = outside(&bed, &net, 2, 8443);
    let db = container(
        &bed,
        &net,
        1,
        "db",
        "flow",
        "for i in 1 2 3; do (head -c 4000 /dev/zero; sleep 1) | nc -l -p 5432 >/dev/null; done; sleep 1000",
    );
    // A peer that has said all and hears nothing more hangs up: each waits for the other's answer first.
    let ask = "until (head -c 100 /dev/zero; sleep 1) | nc 10.77.0.2 5432 >/tmp/got; do sleep 0.1; done; ";
    let web = container(
        &bed,
        &net,
        0,
        "web",
        "flow",
        &format!(
            "sleep 0.5; {}(head -c 777 /dev/zero; sleep 1) | nc 10.77.0.3 8443; nc -w 1 10.77.0.3 81; sleep 1000",
            ask.repeat(3)
        ),
    );
    let blind = Bundle::new(&bed, "blind", "exec", &["/bin/sleep", "1000"]);
    let mut children = started(&[&db, &web, &blind]);
    assert!(world.wait().expect("failed to wait").success());
    assert_eq!(fs::read(bed.path("got")).expect("nothing").len(), 777);
    let mut map = Value::Null;
    wait_for("both conversations", || {
        map = bed.json("/v1/topology");
        let inner = edge(&map, "web", "db", 5432)?;
        (inner["active"] == 0
            && inner["received_bytes"] == 12_000
            && edge(&map, "web", "10.77.0.3", 81).is_some())
        .then_some(())
    });
    // One edge, which both have seen, with the counts of either once.
    let inner = edge(&map, "web", "db", 5432).expect("an edge");
    assert_eq!((&inner["seen_by"], &inner["transport"]), (&json!("both"), &json!("tcp")), "{map}");
    assert_eq!((&inner["sent_bytes"], &inner["received_bytes"]), (&json!(300), &json!(12_000)), "{inner}");
    assert!(edge(&map, "db", "web", 5432).is_none(), "{map}");
    let outer = edge(&map, "web", "10.77.0.3", 8443).expect("an edge to the outside");
    assert_eq!(
        (&outer["seen_by"], &outer["sent_bytes"], &outer["received_bytes"]),
        (&json!("source"), &json!(777), &json!(6))
    );
    let refused = edge(&map, "web", "10.77.0.3", 81).expect("an edge that failed");
    assert_eq!((&refused["failures"], &refused["connections"]), (&json!(1), &json!(0)), "{refused}");
    // Every end is a node, and every node says who it is.
    let nodes = map["nodes"].as_array().expect("nodes");
    let node = |id: &Value| nodes.iter().find(|n| n["id"] == *id);
    for edge in map["edges"].as_array().expect("edges") {
        for end in [&edge["source"], &edge["target"]] {
            let node = node(end).unwrap_or_else(|| panic!("{end} is no node: {map}"));
            assert!(node["name"].as_str().is_some_and(|n| !n.is_empty()), "{node}");
        }
    }
    assert_eq!(node(&json!("web")).expect("web")["addresses"], json!(["10.77.0.1"]));
    assert_eq!(node(&json!("10.77.0.3")).expect("a peer")["kind"], "peer");
    assert_eq!(map["unseen"], json!(["blind"]));
    assert_eq!(map["edges"].as_array().map(Vec::len), Some(3), "{map}");

    let text = run(&mut bed.remora(&["map"]));
    let line = text.lines().find(|l| l.contains("5432/tcp")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("web ") && line.contains(" db ") && line.contains("11.7 KiB"), "{text}");
    let dot = run(&mut bed.remora(&["map", "--format", "dot"]));
    assert!(dot.contains("\"web\" -> \"db\" [label=\"5432/tcp"), "{dot}");
    assert!(dot.contains("\"10.77.0.3\" [label=\"10.77.0.3\", shape=ellipse"), "{dot}");
    assert!(dot.contains("81/tcp 0 B\", color=red]"), "{dot}");
    let json: Value =
        serde_json::from_str(&run(&mut bed.remora(&["map", "--format", "json"]))).expect("not JSON");
    assert_eq!(json["edges"].as_array().map(Vec::len), Some(3));
    let said = output(&mut bed.remora(&["map"]));
    assert!(String::from_utf8_lossy(&said.stderr).contains("blind"), "{said:?}");

    drop((db, web, blind));
    children.iter_mut().for_each(|c| drop(c.wait()));
    let empty = json!({ "nodes": [], "edges": [], "truncated": false });
    wait_for("the map to be empty", || (bed.json("/v1/topology") == empty).then_some(()));
    bed.assert_empty();
}

#[test]
fn a_conversation_that_was_under_way_is_one_edge() {
    let mut bed = Bed::cold().with("tracers", "preload = [\"flow\"]");
    bed.start();
    let net = Net::new(&bed, &["client", "server"]);
    let talk = "(while [ ! -e /tmp/stop ]; do echo more; sleep 0.1; done)";
    let server =
        container(&bed, &net, 1, "server", "exec", &format!("{talk} | nc -l -p 9000 >/dev/null; sleep 1000"));
    let ask = format!("sleep 0.5; {talk} | nc 10.77.0.2 9000 >/dev/null; sleep 1000");
    let client = container(&bed, &net, 0, "client", "exec", &ask);
    let mut children = started(&[&server, &client]);
    wait_for("the connection", || {
        let seen = output(Command::new("ip").args([
            "netns",
            "exec",
            &net.names[1],
            "ss",
            "-tnH",
            "state",
            "established",
        ]));
        (!seen.stdout.is_empty()).then_some(())
    });
    // Only now are they looked at: neither end has seen who began, and both see it end.
    for name in ["client", "server"] {
        run(&mut bed.remora(&["tracer", "on", "flow", name]));
    }
    for bundle in [&server, &client] {
        fs::write(bundle.rootfs().join("tmp/stop"), "").expect("failed to write");
    }
    let map = wait_for("both ends", || {
        let map = bed.json("/v1/topology");
        let both = map["edges"].as_array()?.iter().any(|e| e["seen_by"] == "both");
        both.then_some(map)
    });
    assert_eq!(map["edges"].as_array().map(Vec::len), Some(1), "{map}");
    drop((server, client));
    children.iter_mut().for_each(|c| drop(c.wait()));
    bed.assert_empty();
}

#[test]
fn who_shares_an_address_is_not_mistaken_for_another() {
    let mut bed = Bed::cold().with("tracers", "preload = [\"flow\"]");
    bed.start();
    let net = Net::new(&bed, &["web", "shared"]);
    // Two at one address, one after the other at one port; the first answers twice and ends.
    let serve = "echo thanks | nc -l -p 5432 >/dev/null; ";
    let gone = container(&bed, &net, 1, "gone", "flow", &serve.repeat(2));
    let left = container(
        &bed,
        &net,
        1,
        "left",
        "flow",
        &format!("while [ ! -e /tmp/go ]; do sleep 0.1; done; {serve}sleep 1000"),
    );
    let ask = "until (echo hello; sleep 1) | nc 10.77.0.2 5432 >/tmp/got; do sleep 0.1; done; ";
    let web = container(
        &bed,
        &net,
        0,
        "web",
        "flow",
        &format!("{}while [ ! -e /tmp/go ]; do sleep 0.1; done; {ask}sleep 1000", ask.repeat(2)),
    );
    let mut children = started(&[&left, &web]);
    let mut first = gone.start();
    let edges = || bed.json("/v1/topology")["edges"].as_array().cloned().unwrap_or_default();
    // While both are there, the one that says so itself is it.
    wait_for("what both have seen", || {
        edges().iter().any(|e| e["target"] == "gone" && e["seen_by"] == "both").then_some(())
    });
    first.wait().expect("failed to wait");
    drop(gone);
    bed.ended("gone");
    let only = |connections: u64| {
        wait_for("the only edge", || {
            let map = bed.json("/v1/topology");
            let [edge] = map["edges"].as_array()?.as_slice() else { return None };
            (edge["connections"] == connections && edge["active"] == 0).then_some(())?;
            let node = map["nodes"].as_array()?.iter().find(|n| n["id"] == edge["target"])?.clone();
            Some((edge["source"].clone(), node))
        })
    };
    // Nobody who is there has told of that address.
    let (source, node) = only(2);
    assert_eq!((source, &node["kind"], &node["name"]), (json!("web"), &json!("peer"), &json!("10.77.0.2")));
    // Who is left has had one of three, and none of the others is said to be its own.
    for bundle in [&left, &web] {
        fs::write(bundle.rootfs().join("tmp/go"), "").expect("failed to write");
    }
    let (source, node) = only(3);
    assert_eq!(
        (source, &node["kind"], &node["name"]),
        (json!("web"), &json!("network"), &json!("network of left"))
    );
    assert_eq!(node["addresses"], json!(["10.77.0.2"]));
    drop((left, web));
    children.iter_mut().for_each(|c| drop(c.wait()));
    bed.assert_empty();
}
