//! `http` against what client and server said, and what a server wrote down.

mod talks;

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use remora_tests::{Bed, Bundle, Events, Trio, events::text, wait_for};

use super::tcp;
use serde_json::{Value, json};
use talks::{OK, Talk, Told, hex};

const ADDRESSES: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

fn bed() -> Bed {
    let mut bed = Bed::tracing("http");
    bed.start();
    bed
}

fn told(event: &Value) -> Told {
    let status = text(event, "http.response.status_code");
    let host = text(event, "http.request.header.host");
    Told {
        pipelined: event["request"]["pipelined"] == true,
        cut: event["url"]["path_truncated"] == true,
        ..Told::new(&text(event, "http.request.method"), &text(event, "url.path"), &host, &status)
    }
}

/// Runs the talks in a container as their clients: by connection, the client's port.
fn as_client(bed: &Bed, id: &str, address: &str, talks: &[Talk]) -> Vec<u16> {
    let listener = TcpListener::bind(address).expect("failed to listen");
    let at = listener.local_addr().expect("an address").to_string();
    let servers: Vec<String> = talks.iter().map(|t| t.server.clone()).collect();
    let server = std::thread::spawn(move || {
        let serve = |script: String| {
            let (mut stream, peer) = listener.accept().expect("failed to accept");
            tcp::play(&mut stream, &script);
            peer.port()
        };
        servers.into_iter().map(serve).collect()
    });
    let bundle = Bundle::new(bed, id, "http", &["/bin/act", "tcp", "client", &at, "@/scripts"]).with_act();
    let clients: Vec<&str> = talks.iter().map(|t| t.client.as_str()).collect();
    fs::write(bundle.rootfs().join("scripts"), clients.join("\n")).expect("failed to write");
    bundle.run();
    drop(bundle);
    bed.ended(id);
    server.join().expect("the server")
}

fn port_of(bundle: &Bundle) -> String {
    wait_for("the server", || fs::read_to_string(bundle.rootfs().join("tmp/port")).ok())
}

/// ... as their servers.
fn as_server(bed: &Bed, id: &str, address: &str, talks: &[Talk]) -> Vec<u16> {
    let args = ["/bin/act", "tcp", "server", address, "/tmp/port", "@/scripts"];
    let bundle = Bundle::new(bed, id, "http", &args).with_act();
    let servers: Vec<&str> = talks.iter().map(|t| t.server.as_str()).collect();
    fs::write(bundle.rootfs().join("scripts"), servers.join("\n")).expect("failed to write");
    let mut child = bundle.start();
    let at = address.strip_suffix('0').expect("a port").to_owned() + &port_of(&bundle);
    let talk = |talk: &Talk| {
        let mut stream = TcpStream::connect(&at).unwrap_or_else(|e| panic!("failed to connect to {at}: {e}"));
        tcp::play(&mut stream, &talk.client);
        stream.local_addr().expect("an address").port()
    };
    let ports = talks.iter().map(talk).collect();
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended(id);
    ports
}

/// Compares events with what was said, connection by connection, and the metrics with both.
fn compare(bed: &Bed, id: &str, direction: &str, talks: &[Talk], ports: &[u16]) {
    let events = bed.events_of(id);
    let client_port = if direction == "client" { "network.local.port" } else { "network.peer.port" };
    let mut seen: BTreeMap<u16, Vec<Told>> = BTreeMap::new();
    let mut wanted: BTreeMap<(String, String), u32> = BTreeMap::new();
    for event in &events.0 {
        assert_eq!(text(event, "request.direction"), direction, "{event}");
        let known = (text(event, "process.comm"), text(event, "process.vpid"));
        // A server that answers nothing is not known by what it sends.
        if direction == "client" || !text(event, "http.response.status_code").is_empty() {
            assert_eq!(known, ("act".into(), "1".into()), "{event}");
        }
        seen.entry(text(event, client_port).parse().expect("a port")).or_default().push(told(event));
    }
    for (talk, port) in talks.iter().zip(ports) {
        let mine = seen.remove(port).unwrap_or_default();
        assert_eq!(mine, talk.told, "events left, said right: {talk:?}");
        for told in &talk.told {
            let class = told.status.get(..1).map_or("none".into(), |c| format!("{c}xx"));
            *wanted.entry((told.method.clone(), class)).or_default() += 1;
        }
    }
    assert!(seen.is_empty(), "events of nothing: {seen:?}");
    let series = |what: &str| {
        let all = bed.series(&format!("remora_http_{what}"));
        all.into_iter().filter(|s| s.label("container") == Some(id)).collect::<Vec<_>>()
    };
    let mut counted = BTreeMap::new();
    for s in series("requests_total") {
        assert_eq!(s.label("direction"), Some(direction));
        let label = |name| s.label(name).expect("a label").to_owned();
        counted.insert((label("method"), label("class")), s.value as u32);
    }
    assert_eq!(counted, wanted, "requests by method and class");
    let sum = |what: &str| series(what).iter().map(|s| s.value).sum::<f64>();
    let all = || talks.iter().flat_map(|t| &t.told);
    let number = |n: usize| n as f64;
    assert_eq!(sum("ignored_total"), talks.iter().map(|t| f64::from(t.ignored)).sum::<f64>(), "ignored");
    assert_eq!(sum("pipelined_total"), number(all().filter(|t| t.pipelined).count()), "pipelined");
    let answered = number(all().filter(|t| !t.status.is_empty()).count());
    assert_eq!(sum(&format!("{direction}_latency_seconds_count")), answered, "latencies");
    let counts = &bed.container(id).expect("a view")["ledger"]["tracers"]["http"];
    assert_eq!(
        (counts["counted"].as_f64(), &counts["counted"]),
        (Some(number(events.len())), &counts["delivered"])
    );
}

#[test]
fn requests_made_are_those_said() {
    let (bed, talks) = (bed(), talks::all());
    for (i, address) in ADDRESSES.iter().enumerate() {
        let id = format!("client-{i}");
        let ports = as_client(&bed, &id, address, &talks);
        compare(&bed, &id, "client", &talks, &ports);
    }
}

#[test]
fn requests_received_are_those_said() {
    let (bed, talks) = (bed(), talks::all());
    for (i, address) in ADDRESSES.iter().enumerate() {
        let id = format!("server-{i}");
        let ports = as_server(&bed, &id, address, &talks);
        compare(&bed, &id, "server", &talks, &ports);
    }
}

/// What is to be told of a request in one segment, by another reading than the tracer's.
fn reading(request: &[u8], answer: &[u8]) -> Result<Told, u32> {
    const METHODS: [&str; 9] =
        ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let begins = |m: &&&str| request.len() >= 8 && request.starts_with(format!("{m} ").as_bytes());
    let method = METHODS.iter().find(begins).ok_or(0u32)?;
    let mut lines = request.split_inclusive(|b| *b == b'\n').map_while(|l| l.strip_suffix(b"\n"));
    let first = lines.next().ok_or(1u32)?;
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let (target, version) = first.split_at(first.len().saturating_sub(9));
    let target = target.get(method.len() + 1..).filter(|t| !t.is_empty() && version.starts_with(b" HTTP/1."));
    let target = target.ok_or(1u32)?;
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let headers = lines.take_while(|l| !l.is_empty() && *l != b"\r");
    let host = headers
        .filter(|l| l.get(..5).is_some_and(|n| n.eq_ignore_ascii_case(b"host:")))
        .map(|l| &l[5..])
        .next();
    let digits =
        answer.get(9..12).filter(|d| d.iter().all(u8::is_ascii_digit) && (b'1'..=b'5').contains(&d[0]));
    let sound = digits
        .filter(|d| answer.starts_with(b"HTTP/1.") && answer[8] == b' ' && (d[0] != b'1' || d == b"101"));
    let [path, host] = [path, trim(host.unwrap_or_default())].map(shown);
    Ok(Told::new(method, &path, &host, &sound.map(shown).unwrap_or_default()))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t' | b'\r', rest)) = text.split_first() {
        text = rest;
    }
    while let Some((b' ' | b'\t' | b'\r', rest)) = text.split_last() {
        text = rest;
    }
    text
}

/// As events show bytes.
fn shown(bytes: &[u8]) -> String {
    let part = |c: std::str::Utf8Chunk<'_>| {
        let invalid: String = c.invalid().iter().map(|b| format!("\\x{b:02x}")).collect();
        c.valid().to_owned() + &invalid
    };
    bytes.utf8_chunks().map(part).collect()
}

/// Requests and answers with bytes changed, added and cut.
fn damaged() -> Vec<Talk> {
    let request = b"GET /a/path?with=query HTTP/1.1\r\nAccept: */*\r\nHost: h.test:80\r\nX: y\r\n\r\n";
    let mut state = 20_240_229u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut damage = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + below(2) {
            let (at, byte) =
                (below(bytes.len()), [b'\r', b'\n', b' ', b'?', b':', 0, below(256) as u8][below(7)]);
            match below(4) {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.remove(at)),
                _ => bytes[at] = byte,
            }
        }
        bytes
    };
    let cut = (1..request.len()).step_by(4).map(|n| (request[..n].to_vec(), OK.to_vec()));
    let mut all: Vec<_> = cut.collect();
    all.extend((0..100).map(|_| (damage(request), OK.to_vec())));
    all.extend((0..40).map(|_| (request.to_vec(), [&damage(&OK[..15]), &OK[15..]].concat())));
    let talk = |(request, answer): (Vec<u8>, Vec<u8>)| {
        let reading = reading(&request, &answer);
        Talk {
            client: format!(">{} $", hex(&request)),
            server: format!("<{} >{}", request.len(), hex(&answer)),
            ignored: reading.as_ref().err().copied().unwrap_or_default(),
            told: reading.into_iter().collect(),
        }
    };
    all.into_iter().map(talk).collect()
}

#[test]
fn damaged_requests_and_answers() {
    let (bed, talks) = (bed(), damaged());
    let ports = as_client(&bed, "client", ADDRESSES[0], &talks);
    compare(&bed, "client", "client", &talks, &ports);
    let ports = as_server(&bed, "server", ADDRESSES[0], &talks);
    compare(&bed, "server", "server", &talks, &ports);
}

/// A request that comes with the packet that makes the connection, as Apache takes them.
#[test]
fn requests_before_there_is_a_socket() {
    let bed = bed();
    let request = b"GET /early HTTP/1.1\r\nHost: h.test\r\n\r\n";
    let talk = format!("<{} ~100 >{} <{} >{}", request.len(), hex(OK), request.len(), hex(OK));
    let unanswered = format!("<{}", request.len());
    let args = ["/bin/act", "tcp", "server", ADDRESSES[0], "/tmp/port", "defer", &talk, &unanswered];
    let bundle = Bundle::new(&bed, "deferred", "http", &args).with_act();
    let mut child = bundle.start();
    let at = format!("127.0.0.1:{}", port_of(&bundle));
    let twice = format!(">{0} <{1} >{0} $", hex(request), OK.len());
    for script in [twice, format!(">{} $", hex(request))] {
        tcp::play(&mut TcpStream::connect(&at).expect("failed to connect"), &script);
    }
    child.wait().expect("failed to wait");
    drop(bundle);
    bed.ended("deferred");
    let events = bed.events_of("deferred");
    let said = |status| Told::new("GET", "/early", "h.test", status);
    let seen: Vec<Told> = events.0.iter().map(told).collect();
    assert_eq!(seen, [said("200"), said("200"), said("")], "{events:?}");
    assert!(latency(events.first()) >= 0.1, "{events:?}");
}

fn latency(event: &Value) -> f64 {
    event["request"]["latency"].as_f64().expect("a latency")
}

#[test]
fn latencies_are_those_of_the_server() {
    let bed = bed();
    let request = b"GET /slow HTTP/1.1\r\n\r\n";
    for pause in [20, 300] {
        let server =
            format!("<{} ~{pause} >{} ~{pause} >{}", request.len(), hex(OK), hex(b"more of the body"));
        let talk = Talk { client: format!(">{} $", hex(request)), server, ..Talk::default() };
        let id = format!("slow-{pause}");
        let start = Instant::now();
        as_server(&bed, &id, ADDRESSES[0], &[talk]);
        let (least, most) = (Duration::from_millis(pause).as_secs_f64(), start.elapsed().as_secs_f64());
        let took = latency(bed.events_of(&id).first());
        assert!((least..most - least).contains(&took), "{took} of a pause of {least}, in all {most}");
        let sum = bed.series("remora_http_server_latency_seconds_sum");
        let sum = sum.iter().find(|s| s.label("container") == Some(&id)).expect("a sum").value;
        assert!((sum - took).abs() < 1e-6, "{sum} {took}");
    }
}

/// busybox on both sides, in a network namespace of their own.
#[test]
fn a_real_server_and_its_log() {
    let bed = bed();
    let script = "ip link set lo up; mkdir /www; echo hello >/www/file; \
         httpd -f -vv -p 8080 -h /www 2>/www/log & server=$!; until grep -q ':1F90 [0-9A-F]*:0000 0A' /proc/net/tcp6; do sleep 0.05; done; \
         for path in file 'file?a=b' none log/ file; do wget -q -O /dev/null http://127.0.0.1:8080/$path; done; \
         wget -q -O /dev/null http://[::1]:8080/file; wget -q -O /dev/null --post-data=x=y http://127.0.0.1:8080/file; \
         kill $server; cp /www/log /tmp/log";
    let bundle = Bundle::with(&bed, "httpd", &["/bin/sh", "-c", script], |config| {
        config["annotations"]["io.remora.trace"] = "http".into();
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "network" }));
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set]
                .as_array_mut()
                .expect("a list")
                .push("CAP_NET_ADMIN".into());
        }
    });
    bundle.run_command().output().expect("failed to run");
    let log = fs::read_to_string(bundle.rootfs().join("tmp/log")).expect("no log");
    drop(bundle);
    bed.ended("httpd");
    let events = bed.events_of("httpd");
    let side = |direction: &str, comm: &str| {
        let mine = events.only(|e| e["request"]["direction"] == direction);
        assert!(mine.texts("process.comm").iter().all(|c| c == comm), "{mine:?}");
        let line = |e: &Value| format!("{} {}", text(e, "url.path"), text(e, "http.response.status_code"));
        mine.0.iter().map(line).collect::<Vec<_>>()
    };
    let value = |line: &str, key: &str| Some(line.split_once(key)?.1.trim().to_owned());
    let urls = log.lines().filter_map(|l| value(l, "url:"));
    let statuses = log.lines().filter_map(|l| value(l, "response:"));
    let logged: Vec<String> =
        urls.zip(statuses).map(|(u, s)| format!("{} {s}", u.split('?').next().unwrap_or_default())).collect();
    assert_eq!(logged.len(), 7, "{log}");
    assert_eq!(side("server", "httpd"), logged, "{log}");
    assert_eq!(side("client", "wget"), logged, "{log}");
    let methods = events.only(|e| e["request"]["direction"] == "client").texts("http.request.method");
    assert_eq!(methods.iter().filter(|m| *m == "POST").count(), 1, "{methods:?}");
    assert!(events.0.iter().all(|e| e["url"].get("query").is_none()), "{events:?}");
}

#[test]
fn only_this_containers() {
    let request = hex(b"GET /trio HTTP/1.1\r\n\r\n");
    let script = format!(
        "[ -e /dev/null ] || : >/dev/null; /bin/act tcp server 127.0.0.1:0 /tmp/port '<22 >{}' & \
         until [ -s /tmp/port ]; do sleep 0.05; done; /bin/act tcp client 127.0.0.1:$(cat /tmp/port) '>{request} $'; \
         wait; rm /tmp/port",
        hex(OK)
    );
    let trio = Trio::run("http", &script);
    let events: Events = trio.events();
    assert_eq!(events.texts("url.path"), ["/trio"; 2], "{events:?}");
    assert_eq!(trio.metric("remora_http_requests_total"), 2.0);
    // By name only: what is said in plain text is nobody's business by default.
    assert_eq!(trio.bed.json("/v1/tracers/http")["groups"], json!([]));
}

#[test]
fn parameters_are_a_containers_own() {
    let bed = bed();
    let talk = Talk {
        client: format!(">{} $", hex(b"GET /long/path?a=b&c=%20d HTTP/1.1\r\n\r\n")),
        server: format!("<38 >{}", hex(OK)),
        ..Talk::default()
    };
    let listeners = [0; 2].map(|_| TcpListener::bind(ADDRESSES[0]).expect("failed to listen"));
    let ports = listeners.each_ref().map(|l| l.local_addr().expect("an address").port());
    let servers = listeners.map(|l| {
        let script = talk.server.clone();
        std::thread::spawn(move || tcp::play(&mut l.accept().expect("failed to accept").0, &script))
    });
    let command = ports.map(|p| format!("/bin/act tcp client 127.0.0.1:{p} '{}'", talk.client)).join("; ");
    let bundle = Bundle::with(&bed, "own", &["/bin/sh", "-c", &command], |config| {
        let annotations = config["annotations"].as_object_mut().expect("annotations");
        annotations.insert("io.remora.trace".into(), "http".into());
        for (name, value) in [("port", ports[1].to_string()), ("max_path", "5".into()), ("query", "1".into())]
        {
            annotations.insert(format!("io.remora.param.http.{name}"), value.into());
        }
    });
    bundle.with_act().run();
    bed.ended("own");
    servers.into_iter().for_each(|s| drop(s.join().expect("the server")));
    let events = bed.events_of("own");
    assert_eq!(events.texts("network.peer.port"), [ports[1].to_string()]);
    assert_eq!(events.texts("url.path"), ["/long"]);
    assert_eq!(events.texts("url.path_truncated"), ["true"]);
    assert_eq!(events.texts("url.query"), ["a=b&c=%20d"]);
}
