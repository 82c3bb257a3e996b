//! `tls` against what the peer received, read by a parser of the tests' own.

mod hello;

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread::JoinHandle,
};

use hello::{Hello, Reading, Told};
use remora_tests::{Bed, Bundle, Events, Trio, events::text, output, wait_for};

use super::tcp;
use serde_json::Value;

const ADDRESSES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A server of the test's that only reads: its address, and what each connection sent, by the client's port.
fn reader(address: &str, connections: usize) -> (SocketAddr, JoinHandle<BTreeMap<u16, Vec<u8>>>) {
    let listener = TcpListener::bind(address).expect("failed to listen");
    let at = listener.local_addr().expect("an address");
    let accept = move || {
        let (mut stream, peer) = listener.accept().expect("failed to accept");
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        (peer.port(), got)
    };
    (at, std::thread::spawn(move || (0..connections).map(|_| accept()).collect()))
}

fn version(number: u16) -> String {
    match number {
        0x300 => "SSL_3_0".into(),
        0x301..=0x304 => format!("TLS_1_{}", number - 0x301),
        _ => "unknown".into(),
    }
}

/// As events show bytes.
fn shown(bytes: &[u8]) -> String {
    let part = |c: std::str::Utf8Chunk<'_>| {
        let invalid: String = c.invalid().iter().map(|b| format!("\\x{b:02x}")).collect();
        c.valid().to_owned() + &invalid
    };
    bytes.utf8_chunks().map(part).collect()
}

fn told(event: &Value) -> (String, Vec<String>, String, String, String, bool, bool) {
    let field = |name: &str| text(event, &format!("client_hello.{name}"));
    let flag = |name: &str| event["client_hello"][name] == true;
    let alpn = event["client_hello"]["alpn"].as_array().expect("a list");
    let alpn = alpn.iter().map(|n| n.as_str().expect("a text").to_owned()).collect();
    let name = text(event, "tls.client.server_name");
    (
        name,
        alpn,
        field("version"),
        field("ciphers"),
        field("extensions"),
        flag("encrypted"),
        flag("truncated"),
    )
}

fn expected(t: &Told) -> (String, Vec<String>, String, String, String, bool, bool) {
    let alpn = t.alpn.iter().map(|n| shown(n)).collect();
    let (ciphers, extensions) = (t.ciphers.to_string(), t.extensions.to_string());
    (shown(&t.name), alpn, version(t.version), ciphers, extensions, t.encrypted, t.truncated)
}

/// Compares events with what was sent, connection by connection, and the metrics with both.
fn compare(bed: &Bed, container: &str, direction: &str, events: &Events, sent: &BTreeMap<u16, Vec<u8>>) {
    let ports = if direction == "outgoing" { "network.local.port" } else { "network.peer.port" };
    let mut seen: BTreeMap<u16, Vec<&Value>> = BTreeMap::new();
    for event in &events.0 {
        assert_eq!(text(event, "client_hello.direction"), direction, "{event}");
        seen.entry(text(event, ports).parse().expect("a port")).or_default().push(event);
    }
    let (mut hellos, mut incomplete, mut malformed) = (0, 0, 0);
    for (port, bytes) in sent {
        let mine = seen.remove(port).unwrap_or_default();
        match hello::read(bytes) {
            Reading::Hello(t) => {
                let is = mine.iter().map(|e| told(e)).collect::<Vec<_>>();
                assert_eq!(is, [expected(&t)], "events left; sent was {}", hex(bytes));
                hellos += 1;
                incomplete += u32::from(t.truncated);
            }
            other => {
                assert!(mine.is_empty(), "{mine:?} of {}", hex(bytes));
                malformed += u32::from(other == Reading::Malformed);
            }
        }
    }
    assert!(seen.is_empty(), "events of nothing: {seen:?}");
    let metric = |what: &str| {
        let all = bed.series(&format!("remora_tls_{what}_total"));
        let mine = |s: &&remora_tests::bed::Series| {
            s.label("container") == Some(container) && s.label("direction") == Some(direction)
        };
        all.iter().filter(mine).map(|s| s.value).sum::<f64>()
    };
    let counts = [metric("hellos"), metric("incomplete"), metric("malformed")];
    assert_eq!(counts, [hellos, incomplete, malformed].map(f64::from), "hellos, incomplete, malformed");
    println!(
        "{direction}: {} connections, {hellos} hellos, {incomplete} incomplete, {malformed} malformed",
        sent.len()
    );
}

/// Sound ones, each in one piece or in several.
fn sound() -> Vec<Vec<Vec<u8>>> {
    let usual = Hello::usual();
    let old = Hello { legacy: 0x301, ciphers: 1, ..Hello::default() };
    let large = Hello { ballast: 1_216 + 40, ..usual.clone() };
    let single = [
        usual.clone(),
        old.clone(),
        Hello { legacy: 0x300, ..old.clone() },
        Hello { legacy: 0x303, alpn: &[b"h2"], ..old.clone() },
        Hello { versions: &[0x302, 0x7f1c], ..usual.clone() },
        Hello { versions: &[0x7f1c], ..usual.clone() },
        Hello { encrypted: true, name: b"public.example", ..usual.clone() },
        Hello { alpn: &[b"\x0a\x0a", b"\xff\x1b[31m", b"h2,http/1.1"], ..usual.clone() },
        Hello { name: b"\x1b]0;title\x07\xfe\"\\.example", ..usual.clone() },
        Hello { name: b"a\0b\0", ..usual.clone() },
        Hello { name: &[b'n'; 255], ..usual.clone() },
        Hello { first_record: 300, ..large.clone() },
        Hello { ballast: 9_000, ..usual.clone() },
        large.clone(),
    ];
    let mut all: Vec<Vec<Vec<u8>>> = single.iter().map(|h| vec![h.bytes()]).collect();
    let bytes = large.bytes();
    // In front of the name, in its extension's head, and in the name itself.
    for back in [400, 34, 28, 20, 8, 1] {
        let (first, rest) = bytes.split_at(bytes.len() - back);
        all.push(vec![first.to_vec(), rest.to_vec()]);
    }
    all.push(bytes.chunks(1_400).map(<[u8]>::to_vec).collect());
    all.push(bytes.chunks(97).map(<[u8]>::to_vec).collect());
    // Not the first that is said on the connection, and something behind it.
    all.push(vec![bytes.clone(), vec![20, 3, 3, 0, 1, 1], vec![23; 4_000]]);
    all
}

/// A generator of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Cut, with lengths that lie, with bytes changed.
fn damaged() -> Vec<Vec<u8>> {
    let bytes = Hello::usual().bytes();
    let mut all: Vec<Vec<u8>> = (0..bytes.len()).step_by(9).map(|len| bytes[..len].to_vec()).collect();
    let mut change = |edits: &[(usize, u8)]| {
        let mut bytes = bytes.clone();
        edits.iter().for_each(|(at, to)| bytes[*at] = *to);
        all.push(bytes);
    };
    // Lengths of the record, message, session id, cipher suites, compression methods, extensions.
    for at in [3, 4, 6, 7, 8, 43, 76, 77, 110, 112, 113] {
        [0, 1, 0x7f, 0xff].iter().for_each(|to| change(&[(at, *to)]));
        change(&[(at, bytes[at].wrapping_add(1))]);
        change(&[(at, bytes[at].wrapping_sub(1))]);
    }
    let mut dice = Dice(20_240_229);
    for _ in 0..120 {
        let edits: Vec<(usize, u8)> = (0..1 + dice.below(3))
            .map(|_| (11 + dice.below(bytes.len() - 11), dice.below(256) as u8))
            .collect();
        change(&edits);
        // Where the small extensions with their many lengths are.
        change(&[(bytes.len() - 1 - dice.below(75), dice.below(256) as u8)]);
    }
    all
}

/// Each a connection: its bytes, then the end.
fn scripts() -> Vec<String> {
    let pieces = sound().into_iter().chain(damaged().into_iter().map(|bytes| vec![bytes]));
    let script = |pieces: Vec<Vec<u8>>| {
        let words: Vec<String> =
            pieces.iter().filter(|p| !p.is_empty()).map(|p| format!(">{}", hex(p))).collect();
        format!("{} / $", words.join(" "))
    };
    pieces.map(script).collect()
}

fn bed() -> Bed {
    let mut bed = Bed::tracing("tls");
    bed.start();
    bed
}

fn assert_nothing_lost(ended: &Value) {
    let counts = &ended["ledger"]["tracers"]["tls"];
    assert_eq!(counts["counted"], counts["delivered"], "{ended}");
}

#[test]
fn hellos_sent_are_those_the_peer_received() {
    let bed = bed();
    let scripts = scripts();
    for (i, address) in ADDRESSES.iter().enumerate() {
        let id = format!("client-{i}");
        let (at, server) = reader(address, scripts.len());
        let at = at.to_string();
        let bundle =
            Bundle::new(&bed, &id, "tls", &["/bin/act", "tcp", "client", &at, "@/scripts"]).with_act();
        fs::write(bundle.rootfs().join("scripts"), scripts.join("\n")).expect("failed to write");
        bundle.run();
        drop(bundle);
        assert_nothing_lost(&bed.ended(&id));
        let events = bed.events_of(&id);
        let sent = server.join().expect("the server");
        assert_eq!(sent.len(), scripts.len());
        compare(&bed, &id, "outgoing", &events, &sent);
        let (ip, port) = at.rsplit_once(':').expect("a port");
        for event in &events.0 {
            let peer = (text(event, "network.peer.address"), text(event, "network.peer.port"));
            assert_eq!(peer, (ip.trim_matches(['[', ']']).to_owned(), port.to_owned()));
            assert_eq!(
                (text(event, "process.comm"), text(event, "process.vpid")),
                ("act".into(), "1".into())
            );
        }
    }
}

#[test]
fn hellos_received_are_those_the_peer_sent() {
    let bed = bed();
    let scripts = scripts();
    for (i, address) in ADDRESSES.iter().enumerate() {
        let id = format!("server-{i}");
        let args = ["/bin/act", "tcp", "server", address, "/tmp/port", "@/scripts"];
        let bundle = Bundle::new(&bed, &id, "tls", &args).with_act();
        fs::write(bundle.rootfs().join("scripts"), "$\n".repeat(scripts.len())).expect("failed to write");
        let mut child = bundle.start();
        let port = wait_for("the server", || fs::read_to_string(bundle.rootfs().join("tmp/port")).ok());
        let at = address.replace(":0", &format!(":{port}")).replace("[:1]", "[::1]");
        let mut sent = BTreeMap::new();
        for script in &scripts {
            let mut stream =
                TcpStream::connect(&at).unwrap_or_else(|e| panic!("failed to connect to {at}: {e}"));
            tcp::play(&mut stream, script);
            let bytes = script.split_whitespace().filter_map(|w| w.strip_prefix('>')).collect::<String>();
            sent.insert(stream.local_addr().expect("an address").port(), tcp::unhex(&bytes));
        }
        child.wait().expect("failed to wait");
        drop(bundle);
        assert_nothing_lost(&bed.ended(&id));
        let events = bed.events_of(&id);
        compare(&bed, &id, "incoming", &events, &sent);
        for event in &events.0 {
            assert_eq!(
                (text(event, "network.local.port"), text(event, "process.vpid")),
                (port.clone(), "1".into())
            );
        }
    }
}

#[test]
fn real_clients() {
    let bed = bed();
    for (i, address) in ADDRESSES.iter().enumerate() {
        let id = format!("curl-{i}");
        let (at, server) = reader(address, 2);
        let run = |name: &str, more: &[&str]| {
            let to = format!("example.test:{}:{}", at.port(), at.ip());
            let mut command = bed.remora(&[
                "run",
                "--name",
                name,
                "--trace",
                "tls",
                "--",
                "curl",
                "-sk",
                "--max-time",
                "60",
            ]);
            command.args(["--resolve", &to]).args(more).arg(format!("https://example.test:{}/", at.port()));
            // Nobody answers: the reader waits for the end, which --max-time or the reader's own end brings.
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("failed to start")
        };
        let mut clients = [run(&id, &[]), run(&format!("{id}-h1"), &["--http1.1", "--tls-max", "1.2"])];
        let wanted = [("h2,http/1.1", "TLS_1_3"), ("http/1.1", "TLS_1_2")];
        for (name, (alpn, version)) in [id.clone(), format!("{id}-h1")].iter().zip(wanted) {
            let event = wait_for("the hello", || bed.events_of(name).0.first().cloned());
            let (server_name, list, best, ..) = told(&event);
            assert_eq!(
                (server_name.as_str(), list.join(","), best.as_str()),
                ("example.test", alpn.into(), version)
            );
            assert_eq!(text(&event, "process.comm"), "curl");
            assert_eq!(text(&event, "network.peer.address"), at.ip().to_string());
        }
        for client in &mut clients {
            remora_tests::bed::signal(child_of(client.id()), "KILL");
            client.wait().expect("failed to wait");
        }
        let sent = server.join().expect("the server");
        for name in [id.clone(), format!("{id}-h1")] {
            bed.ended(&name);
            let events = bed.events_of(&name);
            let port: u16 = text(events.first(), "network.local.port").parse().expect("a port");
            compare(&bed, &name, "outgoing", &events, &BTreeMap::from([(port, sent[&port].clone())]));
        }
    }
}

/// The command that `remora run` started.
fn child_of(pid: u32) -> u32 {
    let found = output(Command::new("pgrep").arg("-P").arg(pid.to_string()));
    String::from_utf8_lossy(&found.stdout).trim().parse().expect("one child")
}

#[test]
fn only_this_containers() {
    let script = format!(
        "[ -e /dev/null ] || : >/dev/null; /bin/act tcp server 127.0.0.1:0 /tmp/port '$' & server=$!; until [ -s /tmp/port ]; do sleep 0.05; done; \
         /bin/act tcp client 127.0.0.1:$(cat /tmp/port) '>{} / $'; wait; echo $server; rm /tmp/port",
        hex(&Hello::usual().bytes())
    );
    let trio = Trio::run("tls", &script);
    let events = trio.events();
    let directions = events.texts("client_hello.direction");
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(
        directions.contains(&"outgoing".into()) && directions.contains(&"incoming".into()),
        "{directions:?}"
    );
    assert_eq!(events.texts("tls.client.server_name"), ["www.example.org"; 2]);
    let incoming = events.only(|e| e["client_hello"]["direction"] == "incoming");
    assert_eq!(incoming.texts("process.vpid"), [trio.printed[0].trim()], "{events:?}");
    assert_eq!(trio.metric("remora_tls_hellos_total"), 2.0);
}

#[test]
fn one_port_only() {
    let bed = bed();
    let ((one, first), (two, second)) = (reader(ADDRESSES[0], 1), reader(ADDRESSES[0], 1));
    let script = format!(">{} / $", hex(&Hello::usual().bytes()));
    let command = format!("/bin/act tcp client {one} '{script}'; /bin/act tcp client {two} '{script}'");
    let bundle = Bundle::with(&bed, "port", &["/bin/sh", "-c", &command], |config| {
        config["annotations"]["io.remora.trace"] = "tls".into();
        config["annotations"]["io.remora.param.tls.port"] = two.port().to_string().into();
    });
    bundle.with_act().run();
    bed.ended("port");
    first.join().and_then(|_| second.join()).expect("the servers");
    assert_eq!(bed.events_of("port").texts("network.peer.port"), [two.port().to_string()]);
}
