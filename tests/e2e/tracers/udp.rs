//! `udp` against what peers got and sent, and the kernel's own counts of datagrams and drops.

use std::{
    collections::BTreeMap,
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc,
};

use remora_tests::{Bed, Trio, events::text, patience, receive, runc, wait_for};
use serde_json::Value;

fn bed() -> Bed {
    let mut bed = Bed::tracing("udp");
    bed.start();
    bed
}

fn rows(bed: &Bed, name: &str) -> Vec<Value> {
    let answer = bed.json(&format!("/v1/containers/{name}/tables/udp_flows"));
    answer["rows"].as_array().unwrap_or_else(|| panic!("no rows in {answer}")).clone()
}

fn number(row: &Value, key: &str) -> u64 {
    row["udp_flows"][key].as_u64().unwrap_or(0)
}

fn total(rows: &[Value], key: &str) -> u64 {
    rows.iter().map(|r| number(r, key)).sum()
}

fn metric(bed: &Bed, what: &str) -> u64 {
    bed.metric(&format!("remora_udp_{what}_total{{")).unwrap_or_else(|| panic!("no {what}")) as u64
}

const KEYS: [&str; 4] = ["sent_datagrams", "received_datagrams", "sent", "received"];
const METRICS: [&str; 4] = ["sent_datagrams", "received_datagrams", "sent_bytes", "received_bytes"];

/// A command in a traced cgroup of its own.
fn start(bed: &Bed, name: &str, command: &[&str]) -> Child {
    let mut run = bed.remora(&["run", "--name", name, "--trace", "udp", "--"]);
    run.args(command).stdin(Stdio::null()).spawn().expect("failed to start")
}

/// What a peer got from each port, and sent there: datagrams and bytes.
type Counts = BTreeMap<u16, [u64; 4]>;

/// Answers each datagram with one half as long and one empty, until one says so.
fn peer(socket: UdpSocket) -> mpsc::Receiver<Counts> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut counts = Counts::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).expect("failed to receive");
            if size > 0 && buffer[0] == b'!' {
                return tell.send(counts);
            }
            let answers = [&buffer[..size / 2], &[]];
            for answer in answers {
                socket.send_to(answer, from).expect("failed to send");
            }
            let mine = counts.entry(from.port()).or_default();
            let more = [1, 2, size as u64, size as u64 / 2];
            mine.iter_mut().zip(more).for_each(|(m, n)| *m += n);
        }
    });
    told
}

#[test]
fn datagrams_are_those_of_the_peer() {
    let bed = bed();
    for host in ["127.0.0.1", "::1"] {
        let name = &format!("{}-{}", bed.name(), host.len());
        let socket = UdpSocket::bind((host, 0)).expect("failed to bind");
        let port = socket.local_addr().expect("an address").port();
        let told = peer(socket);
        // Two sockets, and all that comes back is read, so that nothing is refused: of two bytes a half is left, which is
        // not taken for the end that the empty datagram after it is.
        let one = |fd: u32| {
            let send = format!("head -c $n /dev/zero >&{fd}; dd bs=65536 count=2 <&{fd} >/dev/null 2>&1;");
            format!("exec {fd}<>/dev/udp/{host}/{port}; for n in 2 100 1472 8000; do {send} done; ")
        };
        let script = one(3) + &one(4);
        assert!(start(&bed, name, &["bash", "-c", &script]).wait().expect("failed to wait").success());
        bed.ended(name);
        let last = UdpSocket::bind((host, 0)).expect("failed to bind");
        last.send_to(b"!", (host, port)).expect("failed to send");
        let counts = told.recv_timeout(patience()).expect("no counts");
        assert_eq!(counts.len(), 2);

        let rows = rows(&bed, name);
        let seen: Counts = rows
            .iter()
            .map(|r| {
                (r["network"]["local"]["port"].as_u64().expect("a port") as u16, KEYS.map(|k| number(r, k)))
            })
            .collect();
        assert_eq!(seen, counts, "{rows:?}");
        for row in &rows {
            assert_eq!(
                (text(row, "network.peer.address"), text(row, "network.local.address")),
                (host.into(), host.into())
            );
            assert_eq!(
                (text(row, "network.peer.port"), text(row, "udp_flows.direction")),
                (port.to_string(), "outgoing".into())
            );
            assert!(text(row, "udp_flows.first") <= text(row, "udp_flows.last"), "{row}");
        }
        let of = |m: &str| {
            bed.metric(&format!("remora_udp_{m}_total{{namespace=\"\",pod=\"\",container=\"{name}\"}}"))
        };
        for (key, metric) in KEYS.iter().zip(METRICS) {
            assert_eq!(of(metric), Some(total(&rows, key) as f64), "{key}");
        }
        assert_eq!((of("flows"), of("dropped"), of("errors")), (Some(2.0), Some(0.0), Some(0.0)));
        let flows = bed.events_of(name).named("flow");
        let mut ports: Vec<u16> =
            flows.texts("network.local.port").iter().map(|p| p.parse().expect("a port")).collect();
        ports.sort_unstable();
        assert_eq!(ports, counts.keys().copied().collect::<Vec<u16>>());
        for flow in &flows.0 {
            assert_eq!(
                (text(flow, "process.comm"), text(flow, "flow.direction")),
                ("head".into(), "outgoing".into()),
                "{flow}"
            );
        }
    }
}

/// An actor of a socket's, and the port that has, once it has done what it was told.
fn actor(bed: &Bed, name: &str, what: &str, before: &[&str]) -> (Child, u16, PathBuf) {
    let file = bed.path(name);
    let mut run = bed.remora(&["run", "--name", name, "--trace", "udp", "--"]);
    run.args(before).arg(runc::act()).args(["udp", what]).arg(&file);
    let child = run.spawn().expect("failed to start");
    let port = wait_for("the actor", || fs::read_to_string(&file).ok()?.parse().ok());
    (child, port, file)
}

fn end(bed: &Bed, name: &str, mut child: Child, file: &Path) {
    fs::remove_file(file).expect("failed to remove");
    assert!(child.wait().expect("failed to wait").success());
    bed.ended(name);
}

#[test]
fn a_datagram_in_fragments_is_one() {
    let bed = bed();
    let cut = "ip link set lo mtu 1500 up && exec \"$@\"";
    let (child, port, file) = actor(&bed, &bed.name(), "large", &["unshare", "-n", "sh", "-c", cut, "sh"]);
    let bytes = 1472 + 1473 + 8000 + 60_000;
    assert_eq!(METRICS.map(|m| metric(&bed, m)), [5, 5, bytes, bytes]);
    // To itself: its own address and port are the peer's.
    let rows = rows(&bed, &bed.name());
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(
        (text(&rows[0], "network.peer.port"), text(&rows[0], "network.local.port")),
        (port.to_string(), port.to_string())
    );
    assert_eq!(KEYS.map(|k| number(&rows[0], k)), [5, 5, bytes, bytes]);
    end(&bed, &bed.name(), child, &file);
}

const FLOWS: u64 = 3000;

#[test]
fn flows_that_give_way_are_added_up() {
    let bed = bed();
    let (child, _, file) = actor(&bed, &bed.name(), &format!("many={FLOWS}"), &[]);
    let rows = rows(&bed, &bed.name());
    let (others, apart): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|r| number(r, "others") > 0);
    assert!(others.len() == 1 && (500..=1024).contains(&apart.len()), "{} and {}", others.len(), apart.len());
    assert_eq!(number(others[0], "others") + apart.len() as u64, FLOWS);
    assert_eq!(text(others[0], "network.peer.address"), "::");
    assert_eq!(KEYS.map(|k| total(&rows, k)), [FLOWS, 0, FLOWS * 5, 0]);
    assert_eq!(KEYS.map(|k| total(&rows, k)), METRICS.map(|m| metric(&bed, m)));
    assert!(apart.iter().all(|r| number(r, "sent") == 5 && text(r, "network.peer.port") == "9"));
    // The last ones are kept.
    let last = format!("127.88.{}.{}", (FLOWS - 1) >> 8, (FLOWS - 1) & 255);
    assert!(apart.iter().any(|r| text(r, "network.peer.address") == last));
    end(&bed, &bed.name(), child, &file);
    let ended = bed.container(&bed.name()).expect("a container");
    let ledger = &ended["ledger"]["tracers"]["udp"];
    assert_eq!(
        (ledger["counted"].as_u64(), ledger["lost_other"].as_u64()),
        (Some(FLOWS), Some(0)),
        "{ended}"
    );
}

/// Datagrams that the socket of this port had no room for, as the kernel says.
fn drops(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").expect("no table");
    let line = table
        .lines()
        .find(|l| l.split_whitespace().nth(1).is_some_and(|a| a.ends_with(&format!(":{port:04X}"))));
    let drops = line.and_then(|l| l.split_whitespace().last()?.parse().ok());
    drops.unwrap_or_else(|| panic!("no socket at {port}"))
}

#[test]
fn drops_are_those_of_the_kernel() {
    let bed = bed();
    let (child, port, file) = actor(&bed, &bed.name(), "mute", &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("failed to bind");
    let mut sent = 0; // bytes
    wait_for("drops", || {
        for _ in 0..100 {
            sent += socket.send_to(&[0; 1000], ("127.0.0.1", port)).expect("failed to send") as u64;
        }
        (drops(port) > 10).then_some(())
    });
    assert_eq!(metric(&bed, "dropped"), drops(port));
    assert_eq!((metric(&bed, "received_datagrams"), metric(&bed, "received_bytes")), (sent / 1000, sent));
    let flow = bed.events_of(&bed.name()).named("flow");
    assert_eq!((flow.len(), text(flow.first(), "flow.direction")), (1, "incoming".into()));
    assert_eq!(text(flow.first(), "network.local.port"), port.to_string());
    end(&bed, &bed.name(), child, &file);
}

#[test]
fn errors_come_back() {
    let bed = bed();
    // The first datagram is answered by ICMP, the second call fails for it and sends nothing.
    let script =
        "exec 3<>/dev/udp/127.0.0.1/1; echo one >&3; sleep 0.3; echo two >&3; echo three >&3; sleep 0.3";
    start(&bed, &bed.name(), &["bash", "-c", script]).wait().expect("failed to wait");
    bed.ended(&bed.name());
    assert_eq!((metric(&bed, "sent_datagrams"), metric(&bed, "sent_bytes")), (2, 10));
    let tracer = bed.tracer("udp");
    let chosen = tracer["chosen"].as_array().expect("a list").iter().any(|p| *p == "failed");
    let refused = tracer["refused"].as_array().expect("a list").iter().any(|r| r[0] == "failed");
    assert!(chosen != refused, "{tracer}");
    assert_eq!(metric(&bed, "errors"), if chosen { 2 } else { 0 }, "{tracer}");
    if refused {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
        assert!(release.starts_with("5.10."), "{release} has the tracepoint: {tracer}");
    }
}

#[test]
fn trio() {
    let server = UdpSocket::bind("127.0.0.1:0").expect("failed to bind");
    server.set_read_timeout(Some(patience())).expect("failed to set");
    let port = server.local_addr().expect("an address").port();
    // Each asks for a file, and is refused: a datagram there, one back.
    let answers = std::thread::spawn(move || {
        let mut from = BTreeMap::new();
        let mut buffer = [0; 1000];
        while from.len() < 3 {
            let (size, peer) = receive(&server, &mut buffer);
            server.send_to(b"\0\x05\0\x01no\0", peer).expect("failed to send");
            from.insert(peer.port(), size as u64);
        }
        from
    });
    let trio = Trio::run("udp", &format!("tftp -g -r file 127.0.0.1 {port}; true"));
    let from = answers.join().expect("the peer");
    let rows = rows(&trio.bed, "this");
    assert_eq!(rows.len(), 1, "{rows:?}");
    let own = rows[0]["network"]["local"]["port"].as_u64().expect("a port") as u16;
    assert_eq!((number(&rows[0], "sent"), number(&rows[0], "received")), (from[&own], 7));
    assert_eq!((number(&rows[0], "sent_datagrams"), number(&rows[0], "received_datagrams")), (1, 1));
    let flows = trio.events().named("flow");
    assert_eq!(flows.texts("process.comm"), ["tftp"]);
    assert_eq!(trio.metric("remora_udp_sent_bytes_total"), from[&own] as f64);
}
