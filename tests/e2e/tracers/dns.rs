//! `dns` against what a server of the test's own says that it was asked and answered.

mod hostile;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use remora_tests::{
    Bed, Trio,
    dns::{A, AAAA, PTR, Said, Server, TXT, framed, query},
    events::text,
    patience, run, runc, wait_for,
};
use serde_json::Value;

/// Commands that send a message from a file, and wait for what comes back.
fn exchange(protocol: &str, server: &Server, file: &str) -> String {
    let (ip, port) = (server.address.ip(), server.address.port());
    format!(
        "exec 3<>/dev/{protocol}/{ip}/{port}; cat {file} >&3; timeout 60 dd bs=9000 count=1 <&3 >/dev/null 2>&1; exec 3>&-; "
    )
}

/// A bed whose containers are asked for at this port.
fn bed(server: &Server, params: &str) -> Bed {
    let port = server.address.port();
    let mut bed =
        Bed::tracing("dns").with("tracers", &format!("params = {{ dns = {{ port = {port}, {params} }} }}"));
    bed.start();
    bed
}

fn traced(bed: &Bed, name: &str, command: &[&str]) {
    run(bed.remora(&["run", "--name", name, "--trace", "dns", "--"]).args(command));
    bed.ended(name);
}

/// What an event says, in the server's words.
fn said(e: &Value) -> Said {
    let list = |key: &str| {
        let list = e["dns"][key].as_array().cloned().unwrap_or_default();
        list.iter().map(|a| a.as_str().expect("a text").to_owned()).collect()
    };
    let number = |path: &str| text(e, path).parse().unwrap_or_else(|_| panic!("no number at {path} in {e}"));
    let one_of = |path: &str, of: &[&'static str]| {
        let text = text(e, path);
        *of.iter().find(|o| **o == text).unwrap_or_else(|| panic!("{path} is {text:?} in {e}"))
    };
    Said {
        transport: one_of("network.transport", &["udp", "tcp"]),
        id: number("dns.id") as u16,
        what: text(e, "dns.question.name").split('.').next().unwrap_or_default().to_owned(),
        rcode: one_of("answer.rcode", &["NOERROR", "NXDOMAIN", "SERVFAIL"]),
        flags: one_of("answer.flags", &["AA|RD|RA", "RD|RA", "AA|TC|RD|RA"]),
        answers: list("answers"),
        targets: list("targets"),
        records: number("answer.records") as u16,
        size: number("answer.size"),
        took: Duration::ZERO,
    }
}

/// What the events of answers must say of these.
fn expected(said: Vec<Said>) -> Vec<Said> {
    let shorten = |mut s: Said| {
        s.answers.truncate(16);
        s.took = Duration::ZERO;
        s
    };
    said.into_iter().map(shorten).collect()
}

fn sum(bed: &Bed, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |s: &remora_tests::bed::Series| labels.iter().all(|(l, v)| s.label(l) == Some(v));
    bed.series(name).iter().filter(|s| s.name == name && has(s)).map(|s| s.value).sum()
}

const WHAT: [(&str, u16); 15] = [
    ("one", A),
    ("octets", A),
    ("six", AAAA),
    ("many", A),
    ("chain", A),
    ("loop", A),
    ("reverse", PTR),
    ("text", TXT),
    ("nothing", A),
    ("broken", A),
    ("cut", A),
    ("slow", A),
    ("odd", 65),
    ("odd", 4321),
    ("empty", 255),
];

/// Every kind of question, over both protocols, to a server at this address.
fn answers_are_those_of_the_server(ip: &str) {
    let server = Server::new(ip, 0);
    let bed = bed(&server, "queries = 0");
    let mut script = String::new();
    for (i, (what, kind)) in WHAT.iter().chain(&[("huge", A)]).enumerate() {
        let message = query(i as u16 * 257, &[what.as_bytes(), b"Example", b"test"], *kind);
        let (udp, tcp) = (bed.path(&format!("udp{i}")), bed.path(&format!("tcp{i}")));
        fs::write(&udp, &message).expect("failed to write");
        fs::write(&tcp, framed(&message)).expect("failed to write");
        if *what != "huge" {
            script += &exchange("udp", &server, &udp.display().to_string());
        }
        script += &exchange("tcp", &server, &tcp.display().to_string());
    }
    traced(&bed, &bed.name(), &["bash", "-c", &script]);
    let answers = bed.events_of(&bed.name()).named("answer");
    let seen: Vec<Said> = answers.0.iter().map(said).collect();
    assert_eq!(seen, expected(server.said()));
    for (event, said) in answers.0.iter().zip(server.said()) {
        assert_eq!(text(event, "dns.question.name"), format!("{}.Example.test", said.what));
        assert_eq!(text(event, "dns.question.class"), "IN");
        assert_eq!(text(event, "answer.direction"), "outgoing");
        assert_eq!(text(event, "network.peer.address"), ip);
        assert_eq!(text(event, "network.peer.port"), server.address.port().to_string());
        assert_eq!((text(event, "process.comm"), text(event, "answer.attempts")), ("cat".into(), "1".into()));
        let latency = event["answer"]["latency"].as_f64().expect("a latency");
        assert!(
            latency >= said.took.as_secs_f64() && latency < patience().as_secs_f64(),
            "{event} took {:?}",
            said.took
        );
        let is_cut = |key: &str| event["dns"][key] == true;
        assert_eq!(is_cut("answers_truncated"), said.answers.len() > 16, "{event}");
        assert_eq!(is_cut("targets_truncated"), said.what == "huge" || said.what == "loop", "{event}");
    }
    let types: Vec<String> = answers.texts("dns.question.type");
    assert!(
        ["A", "AAAA", "PTR", "TXT", "HTTPS", "4321", "ANY"].iter().all(|t| types.contains(&(*t).to_owned())),
        "{types:?}"
    );

    let count = server.said().len() as f64;
    let queries =
        |kind: &str| sum(&bed, "remora_dns_queries_total", &[("type", kind), ("direction", "outgoing")]);
    let responses =
        |rcode: &str| sum(&bed, "remora_dns_responses_total", &[("rcode", rcode), ("direction", "outgoing")]);
    assert_eq!(
        (queries("AAAA"), queries("HTTPS"), queries("OTHER"), queries("A")),
        (2.0, 2.0, 2.0, count - 12.0)
    );
    assert_eq!((responses("NXDOMAIN"), responses("SERVFAIL"), responses("NOERROR")), (2.0, 2.0, count - 4.0));
    assert_eq!(sum(&bed, "remora_dns_latency_seconds_count", &[]), count);
    let took: f64 = server.said().iter().map(|s| s.took.as_secs_f64()).sum();
    let shown = sum(&bed, "remora_dns_latency_seconds_sum", &[]);
    assert!(
        took >= 0.6 && shown >= took && shown < took + count * patience().as_secs_f64(),
        "{shown} of {took}"
    );
    let rest = ["unmatched", "unanswered", "malformed", "unparsed"]
        .map(|m| sum(&bed, &format!("remora_dns_{m}_total"), &[]));
    assert_eq!(rest, [0.0; 4]);
}

#[test]
fn answers_over_ipv4() {
    answers_are_those_of_the_server("127.0.0.1");
}

#[test]
fn answers_over_ipv6() {
    answers_are_those_of_the_server("::1");
}

#[test]
fn the_container_may_be_the_server() {
    let port = Server::new("127.0.0.1", 0).address.port(); // free again
    let mut bed = Bed::tracing("dns").with("tracers", &format!("params = {{ dns = {{ port = {port} }} }}"));
    bed.start();
    let file = bed.path("serving");
    let mut command = bed.remora(&["run", "--name", &bed.name(), "--trace", "dns", "--"]);
    command.arg(runc::act()).args(["dns", "127.0.0.1", &port.to_string()]).arg(&file);
    let mut child = command.spawn().expect("failed to start");
    wait_for("the server", || file.exists().then_some(()));
    let mut answers = Vec::new();
    let mut buffer = [0; 9000];
    let socket = UdpSocket::bind("127.0.0.1:0").expect("failed to bind");
    socket.set_read_timeout(Some(patience())).expect("failed to set");
    for (id, what) in [(1, "one"), (2, "nothing"), (3, "chain"), (4, "slow")] {
        socket.send_to(&query(id, &[what.as_bytes()], A), ("127.0.0.1", port)).expect("failed to send");
        let size = socket.recv(&mut buffer).expect("no answer");
        answers.push((id, what.to_owned(), size));
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("failed to connect");
    stream.write_all(&framed(&query(5, &[b"six"], AAAA))).expect("failed to send");
    stream.read_exact(&mut buffer[..2]).expect("no answer");
    let size = u16::from_be_bytes([buffer[0], buffer[1]]).into();
    stream.read_exact(&mut buffer[..size]).expect("no answer");
    answers.push((5, "six".to_owned(), size));
    drop(stream);
    fs::remove_file(&file).expect("failed to remove");
    assert!(child.wait().expect("failed to wait").success());
    bed.ended(&bed.name());

    let events = bed.events_of(&bed.name()).named("answer");
    let seen: Vec<_> = events.0.iter().map(said).map(|s| (s.id, s.what, s.size)).collect();
    assert_eq!(seen, answers);
    let mine = socket.local_addr().expect("an address").port().to_string();
    for event in &events.0 {
        assert_eq!(
            (text(event, "answer.direction"), text(event, "answer.attempts")),
            ("incoming".into(), "1".into())
        );
        assert_eq!(text(event, "network.local.port"), port.to_string());
        assert!(text(event, "process.pid").parse::<u32>().is_ok_and(|p| p > 1), "{event}");
        assert!(
            text(event, "network.transport") == "tcp" || text(event, "network.peer.port") == mine,
            "{event}"
        );
    }
    assert!(events.0[3]["answer"]["latency"].as_f64().is_some_and(|l| l >= 0.3), "{events:?}");
    assert_eq!(sum(&bed, "remora_dns_queries_total", &[("direction", "incoming")]), 5.0);
    assert_eq!(sum(&bed, "remora_dns_responses_total", &[("direction", "outgoing")]), 0.0);
}

/// What docker does in its networks: a server at 127.0.0.11:53, whose port is another.
#[test]
fn a_server_behind_address_translation() {
    const PORT: u16 = 5399;
    let bed = Bed::tracing("dns");
    let mut bed = bed;
    bed.start();
    let files = ["go", "serving", "asked"].map(|f| bed.path(f));
    fs::write(&files[2], query(9, &[b"one", b"test"], A)).expect("failed to write");
    let rules = [
        format!("OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:{PORT}"),
        format!("OUTPUT -d 127.0.0.11 -p tcp --dport 53 -j DNAT --to-destination 127.0.0.11:{PORT}"),
    ];
    let rules: String = rules.iter().map(|r| format!("iptables -t nat -A {r} && ")).collect();
    // bash's socket is connected, nslookup's is not.
    let script = format!(
        "ip link set lo up && {rules} touch {0} && while [ ! -e {1} ]; do sleep 0.05; done; \
         exec 3<>/dev/udp/127.0.0.11/53; cat {2} >&3; timeout 60 dd bs=9000 count=1 <&3 >/dev/null; \
         busybox nslookup -type=a two.test 127.0.0.11; rm {1}",
        files[0].display(),
        files[1].display(),
        files[2].display()
    );
    let mut command = bed.remora(&["run", "--name", &bed.name(), "--trace", "dns", "--"]);
    let mut child = command.args(["unshare", "-n", "bash", "-c", &script]).spawn().expect("failed to start");
    wait_for("the rules", || files[0].exists().then_some(()));
    let pid = text(&bed.container(&bed.name()).expect("a container"), "pid");
    let mut server = Command::new("nsenter");
    server
        .args(["-n", "-t", &pid, "--"])
        .arg(runc::act())
        .args(["dns", "127.0.0.11", &PORT.to_string()])
        .arg(&files[1]);
    let mut server = server.spawn().expect("failed to start");
    assert!(child.wait().expect("failed to wait").success());
    assert!(server.wait().expect("failed to wait").success());
    bed.ended(&bed.name());
    let answers = bed.events_of(&bed.name()).named("answer");
    let names = ["one.test", "two.test"];
    for (event, name) in answers.0.iter().zip(names) {
        assert_eq!(text(event, "dns.question.name"), name);
        assert_eq!(text(event, "network.peer.address"), "127.0.0.11");
        assert_eq!(text(event, "network.peer.port"), "53");
        assert_eq!(text(event, "answer.attempts"), "1", "its question was not seen: {event}");
    }
    assert_eq!(answers.len(), names.len(), "{answers:?}");
}

/// A container that does what a script says and then waits to be told to go.
fn waiting(bed: &Bed, name: &str, script: &str) -> (Child, PathBuf) {
    let file = bed.path("wait");
    fs::write(&file, "").expect("failed to write");
    let script = format!("{script} while [ -e {} ]; do sleep 0.1; done", file.display());
    let mut command = bed.remora(&["run", "--name", name, "--trace", "dns", "--", "bash", "-c", &script]);
    (command.spawn().expect("failed to start"), file)
}

#[test]
fn questions_without_an_answer() {
    let server = Server::new("127.0.0.1", 0);
    let bed = bed(&server, "queries = 1, timeout = 2");
    let file = bed.path("silent");
    fs::write(&file, query(77, &[b"silent", b"test"], AAAA)).expect("failed to write");
    let (file, port) = (file.display(), server.address.port());
    // Asked twice: the same question, by the same socket.
    let script = format!("exec 3<>/dev/udp/127.0.0.1/{port}; cat {file} >&3; cat {file} >&3;");
    let (mut child, wait) = waiting(&bed, &bed.name(), &script);
    wait_for("the server to be asked", || (server.asked().len() == 2).then_some(()));
    wait_for("the question to be given up", || {
        (bed.metric("remora_dns_unanswered_total{")? == 1.0).then_some(())
    });
    fs::remove_file(wait).expect("failed to remove");
    child.wait().expect("failed to wait");
    bed.ended(&bed.name());
    let events = bed.events_of(&bed.name());
    assert_eq!(events.named("query").texts("query.attempts"), ["1", "2"]);
    let unanswered = events.named("unanswered");
    assert_eq!(unanswered.len(), 1, "{events:?}");
    let event = unanswered.first();
    assert_eq!(
        (text(event, "dns.question.name"), text(event, "dns.question.type")),
        ("silent.test".into(), "AAAA".into())
    );
    assert_eq!((text(event, "unanswered.attempts"), text(event, "dns.id")), ("2".into(), "77".into()));
    assert_eq!(
        (text(event, "process.comm"), text(event, "network.peer.port")),
        ("cat".into(), port.to_string())
    );
    assert_eq!(text(event, "unanswered.asked")[..19], text(events.named("query").first(), "time")[..19]);
    assert_eq!(sum(&bed, "remora_dns_queries_total", &[("type", "AAAA")]), 2.0);
}

#[test]
fn trio() {
    // Port 53, and an address of our own on loopback.
    let id = std::process::id();
    let server = Server::new(&format!("127.77.{}.{}", id >> 8 & 0xff, id & 0xff), 53);
    let script = format!("nslookup -type=a one.test {}; true", server.address.ip());
    let trio = Trio::run("dns", &script);
    assert!(trio.printed.iter().all(|p| p.contains("192.0.2.1")), "{:?}", trio.printed);
    let asked = server.asked().len();
    let answers = trio.events().named("answer");
    assert!(asked >= 3 && !answers.is_empty() && answers.len() <= asked - 2, "{answers:?} of {asked}");
    let event = answers.first();
    assert_eq!(
        (text(event, "dns.question.name"), text(event, "process.comm")),
        ("one.test".into(), "nslookup".into())
    );
    assert_eq!(event["dns"]["answers"], serde_json::json!(["192.0.2.1"]));
    assert_eq!(trio.metric("remora_dns_responses_total"), answers.len() as f64);
}
