//! `flow` against the peers' own counts of bytes and the sockets' own, told by `ss`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
};

use remora_tests::{Bed, Trio, events::text, patience, receive, run, wait_for};
use serde_json::Value;

/// A command in a traced cgroup of its own.
fn start(bed: &Bed, name: &str, script: &str) -> Child {
    let mut command = bed.remora(&["run", "--name", name, "--trace", "flow", "--", "bash", "-c", script]);
    command.stdin(Stdio::null()).spawn().expect("failed to start")
}

fn rows(bed: &Bed, name: &str) -> Vec<Value> {
    let answer = bed.json(&format!("/v1/containers/{name}/tables/flows"));
    answer["rows"].as_array().cloned().unwrap_or_default()
}

/// The row of a service's port, once the condition holds.
fn row(bed: &Bed, name: &str, port: u16, condition: impl Fn(&Value) -> bool) -> Value {
    let mut last = Vec::new();
    wait_for(&format!("a row of port {port}"), || {
        last = rows(bed, name);
        last.iter().find(|r| r["server"]["port"] == port && condition(&r["flows"])).cloned()
    })
}

fn number(row: &Value, path: &str) -> u64 {
    text(row, path).parse().unwrap_or(0)
}

/// What the kernel says of the connections to this port: the sum of `key:number`.
fn ss(port: u16, key: &str) -> u64 {
    let said = run(Command::new("ss").args(["-tinHO", "dport", "=", &format!(":{port}")]));
    let words =
        said.split_whitespace().filter_map(|w| w.strip_prefix(key)?.strip_prefix(':')?.parse::<u64>().ok());
    words.sum()
}

/// The container's connection; what it does not do in time fails the test.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("failed to set an option");
    let stream = wait_for("a connection", || listener.accept().ok()).0;
    stream.set_nonblocking(false).expect("failed to set an option");
    stream.set_read_timeout(Some(patience())).expect("failed to set an option");
    stream
}

fn is(number: u64) -> impl Fn(&Value) -> bool {
    move |v| v.as_u64() == Some(number)
}

#[test]
fn bytes_of_a_connection_are_told_while_it_lives_and_after() {
    let bed = Bed::new();
    for (name, host, shown) in [
        ("flow-v4", "127.0.0.1", "127.0.0.1"),
        ("flow-v6", "::1", "::1"),
        ("flow-mapped", "::ffff:127.0.0.1", "127.0.0.1"),
    ] {
        let listener =
            TcpListener::bind((if host == "::1" { host } else { "127.0.0.1" }, 0)).expect("failed to listen");
        let port = listener.local_addr().expect("an address").port();
        let script = format!(
            "exec 3<>/dev/tcp/{host}/{port}; head -c 54321 /dev/zero >&3; head -c 12345 <&3 >/dev/null; read -r -u 3; \
             printf more >&3; exec 3>&-; (exec 4<>/dev/tcp/{host}/1) 2>/dev/null; true"
        );
        let mut child = start(&bed, name, &script);
        let mut peer = accept(&listener);
        peer.write_all(&[b'x'; 12_345]).expect("failed to write");
        peer.read_exact(&mut vec![0; 54_321]).expect("failed to read");
        let live = row(&bed, name, port, |f| is(54_321)(&f["sent"]) && is(12_345)(&f["received"]));
        assert_eq!(text(&live, "network.peer.address"), shown, "{live}");
        assert_eq!(text(&live, "network.local.address"), shown);
        assert_eq!(
            (text(&live, "network.transport"), text(&live, "flows.direction")),
            ("tcp".into(), "outgoing".into())
        );
        assert_eq!((number(&live, "flows.connections"), number(&live, "flows.active")), (1, 1), "{live}");
        // Both sides are quiet: the socket's own counters stand still.
        let settled = row(&bed, name, port, |f| {
            is(ss(port, "segs_out"))(&f["sent_packets"]) && is(ss(port, "segs_in"))(&f["received_packets"])
        });
        assert_eq!(number(&settled, "flows.sent"), ss(port, "bytes_sent"));
        assert_eq!(number(&settled, "flows.received"), ss(port, "bytes_received"));
        assert!(settled["flows"]["round_trip"].as_f64().is_some_and(|s| s > 0.0 && s < 10.0), "{settled}");
        assert_eq!(
            bed.metric(&format!("remora_flow_active{{namespace=\"\",pod=\"\",container=\"{name}\"")),
            Some(1.0)
        );
        peer.write_all(b"go\n").expect("failed to write");
        peer.read_exact(&mut [0; 4]).expect("failed to read");
        drop(peer);
        child.wait().expect("failed to wait");
        bed.ended(name);
        let ended = row(&bed, name, port, |f| f.get("active").is_none());
        assert_eq!(
            (number(&ended, "flows.sent"), number(&ended, "flows.received")),
            (54_325, 12_348),
            "{ended}"
        );
        let refused = row(&bed, name, 1, |f| is(1)(&f["failures"]));
        assert_eq!(refused["flows"].get("connections"), None, "{refused}");
        let series = |what: &str| {
            bed.metric(&format!("remora_flow_{what}_total{{namespace=\"\",pod=\"\",container=\"{name}\",direction=\"outgoing\",protocol=\"tcp\"}}"))
        };
        assert_eq!((series("sent_bytes"), series("received_bytes")), (Some(54_325.0), Some(12_348.0)));
        assert_eq!((series("connections"), series("failures")), (Some(1.0), Some(1.0)));
    }
}

#[test]
fn connections_from_outside_are_the_services() {
    let bed = Bed::new();
    let port = 8091;
    let mut child = start(
        &bed,
        "flow-server",
        &format!("for i in 1 2 3; do busybox nc -l -p {port} </etc/passwd >/dev/null; done"),
    );
    let mut got = 0;
    for _ in 0..3 {
        let mut client = wait_for("the server", || TcpStream::connect(("127.0.0.1", port)).ok());
        client.write_all(b"hello").expect("failed to write");
        client.shutdown(std::net::Shutdown::Write).expect("failed to shut down");
        got += std::io::copy(&mut client, &mut std::io::sink()).expect("failed to read");
    }
    child.wait().expect("failed to wait");
    bed.ended("flow-server");
    let row = row(&bed, "flow-server", port, |_| true);
    assert_eq!(text(&row, "flows.direction"), "incoming", "{row}");
    assert_eq!((number(&row, "flows.connections"), number(&row, "flows.failures")), (3, 0));
    assert_eq!((number(&row, "flows.sent"), number(&row, "flows.received")), (got, 15), "{row}");
    assert_eq!(rows(&bed, "flow-server").len(), 1, "one row for the three");
}

#[test]
fn datagrams_are_those_of_the_peer() {
    let bed = Bed::new();
    for (name, host) in [("flow-udp-v4", "127.0.0.1"), ("flow-udp-v6", "::1")] {
        let peer = UdpSocket::bind((host, 0)).expect("failed to bind");
        peer.set_read_timeout(Some(patience())).expect("failed to set");
        let port = peer.local_addr().expect("an address").port();
        // Three questions of one socket, one of another: four datagrams there, two back.
        let script = format!(
            "exec 3<>/dev/udp/{host}/{port}; printf 12345 >&3; printf 1234567 >&3; printf 1 >&3; \
             dd bs=100 count=2 <&3 of=/dev/null 2>&1; \
             printf last >/dev/udp/{host}/{port}"
        );
        let mut child = start(&bed, name, &script);
        let (mut got, mut from) = (0, None);
        for i in 0..4 {
            let (bytes, source) = receive(&peer, &mut [0; 100]);
            got += bytes as u64;
            from = from.or(Some(source));
            if i == 2 {
                for answer in ["one\n", "another\n"] {
                    peer.send_to(answer.as_bytes(), source).expect("failed to answer");
                }
            }
        }
        child.wait().expect("failed to wait");
        bed.ended(name);
        let row = row(&bed, name, port, |_| true);
        assert_eq!(
            (text(&row, "flows.direction"), text(&row, "network.transport")),
            ("outgoing".into(), "udp".into())
        );
        assert_eq!((number(&row, "flows.sent"), number(&row, "flows.received")), (got, 12), "{row}");
        assert_eq!(
            (number(&row, "flows.sent_packets"), number(&row, "flows.received_packets")),
            (4, 2),
            "{row}"
        );
        assert_eq!(text(&row, "network.peer.address"), host);
        assert_eq!(rows(&bed, name).len(), 1, "answers are no flow of their own: {:?}", rows(&bed, name));
        let sent = bed.metric(&format!("remora_flow_sent_bytes_total{{namespace=\"\",pod=\"\",container=\"{name}\",direction=\"outgoing\",protocol=\"udp\"}}"));
        assert_eq!(sent, Some(got as f64));
    }
}

#[test]
fn what_is_not_kept_apart_is_added_up() {
    let mut bed = Bed::cold().with("tracers", "params = { flow = { flows = 16 } }");
    bed.start();
    let peers: Vec<UdpSocket> =
        (0..24).map(|_| UdpSocket::bind("127.0.0.1:0").expect("failed to bind")).collect();
    let port = |p: &UdpSocket| p.local_addr().expect("an address").port();
    let each = |p: &UdpSocket| format!("printf 12345 >/dev/udp/127.0.0.1/{}; ", port(p));
    start(&bed, "flow-many", &peers.iter().map(each).collect::<String>()).wait().expect("failed to wait");
    bed.ended("flow-many");
    let rows = rows(&bed, "flow-many");
    assert_eq!(rows.len(), 17, "{rows:?}");
    let (others, apart): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|r| r["flows"]["others"] == true);
    assert_eq!(number(others[0], "flows.sent"), 8 * 5, "{others:?}");
    assert_eq!(text(others[0], "server.port"), "", "{others:?}");
    assert!(apart.iter().all(|r| number(r, "flows.sent") == 5), "{apart:?}");
    assert_eq!(bed.series("remora_flow_sent_bytes_total").iter().map(|s| s.value).sum::<f64>(), 24.0 * 5.0);
}

#[test]
fn trio() {
    let trio = Trio::run("flow", "/bin/act sockets send=127.0.0.1:4713=hello! connect=127.0.0.1:4714; true");
    let rows = rows(&trio.bed, "this");
    let ports: Vec<u64> = rows.iter().map(|r| number(r, "server.port")).collect();
    assert!(ports.contains(&4713) && ports.contains(&4714), "{rows:?}");
    assert_eq!(trio.metric("remora_flow_failures_total"), 1.0);
    assert_eq!(trio.metric("remora_flow_sent_bytes_total"), 6.0);
}
