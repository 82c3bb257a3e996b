//! What clients and servers say to each other, as scripts of `act tcp`, and what is to be told of it.

use std::fmt::Write as _;

/// A request as events tell it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    pub method: String,
    pub path: String,
    pub host: String,
    /// Empty: none.
    pub status: String,
    pub pipelined: bool,
    pub cut: bool,
}

impl Told {
    pub fn new(method: &str, path: &str, host: &str, status: &str) -> Self {
        let [method, path, host, status] = [method, path, host, status].map(str::to_owned);
        Self { method, path, host, status, ..Self::default() }
    }

    fn pipelined(method: &str, path: &str, host: &str) -> Self {
        Self { pipelined: true, ..Self::new(method, path, host, "") }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Talk {
    pub client: String,
    pub server: String,
    pub told: Vec<Told>,
    pub ignored: u32,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// One who speaks at a time: the other reads all of it.
#[derive(Default)]
pub struct Both(Talk);

impl Both {
    /// Each a segment.
    pub fn client(mut self, pieces: &[&[u8]]) -> Self {
        for piece in pieces {
            let _ = write!(self.0.client, ">{} ", hex(piece));
        }
        let _ = write!(self.0.server, "<{} ", pieces.concat().len());
        self
    }

    pub fn server(mut self, pieces: &[&[u8]]) -> Self {
        for piece in pieces {
            let _ = write!(self.0.server, ">{} ", hex(piece));
        }
        let _ = write!(self.0.client, "<{} ", pieces.concat().len());
        self
    }

    /// The server ends it: the client must not be first.
    pub fn told(mut self, told: &[Told]) -> Talk {
        self.0.client += "$";
        self.0.told = told.to_vec();
        self.0
    }
}

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h.test\r\n\r\n").into_bytes()
}

fn answer(status: u32) -> Vec<u8> {
    format!("HTTP/1.1 {status} Something\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// One request and one answer.
fn simple(request: &[u8], status: u32, told: Told) -> Talk {
    Both::default().client(&[request]).server(&[&answer(status)]).told(&[told])
}

pub fn all() -> Vec<Talk> {
    [usual(), bodies(), several(), ends(), heads(), others()].concat()
}

fn usual() -> Vec<Talk> {
    let methods = ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
    let statuses = [201, 204, 302, 404, 500, 503];
    let each = methods.iter().zip(statuses).map(|(method, status)| {
        let request = format!("{method} /m HTTP/1.1\r\nHost: h.test\r\n\r\n");
        simple(request.as_bytes(), status, Told::new(method, "/m", "h.test", &status.to_string()))
    });
    let post = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\nHost: h.test\r\n\r\nbody";
    let kept = Both::default().client(&[&get("/1")]).server(&[OK]).client(&[post]).server(&[&answer(201)]);
    let kept = kept.client(&[&get("/3")]).server(&[&answer(304)]).told(&[
        Told::new("GET", "/1", "h.test", "200"),
        Told::new("POST", "/p", "h.test", "201"),
        Told::new("GET", "/3", "h.test", "304"),
    ]);
    each.chain([kept]).collect()
}

/// What is in bodies, and in other protocols behind an upgrade, is no request and no answer.
fn bodies() -> Vec<Talk> {
    let head = b"POST /up HTTP/1.1\r\nHost: h.test\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n";
    let body = get("/in/a/body");
    let posted = [Told::new("POST", "/up", "h.test", "200")];
    let go_on: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n";
    let fake = answer(500);
    let tunnel = |request: &[u8], yes: &[u8], told: Told| {
        Both::default().client(&[request]).server(&[yes]).client(&[&body]).server(&[&fake]).told(&[told])
    };
    let upgrade = b"GET /chat HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let mut first = Both::default().client(&[head, &body]).server(&[OK]).told(&posted);
    first.ignored = 1;
    vec![
        first,
        Both::default()
            .client(&[head])
            .server(&[go_on])
            .client(&[b"thirty bytes of something else"])
            .server(&[OK])
            .told(&posted),
        Both::default().client(&[head]).server(&[&[go_on, OK].concat()]).told(&posted),
        Both::default().client(&[head]).server(&[&[hints, go_on, OK].concat()]).told(&posted),
        Both::default().client(&[head]).server(&[hints, hints, OK]).told(&posted),
        Both::default()
            .client(&[&get("/1")])
            .server(&[OK, &fake])
            .client(&[&get("/2")])
            .server(&[&answer(404)])
            .told(&[Told::new("GET", "/1", "h.test", "200"), Told::new("GET", "/2", "h.test", "404")]),
        tunnel(
            upgrade,
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            Told::new("GET", "/chat", "h.test", "101"),
        ),
        tunnel(
            b"CONNECT h.test:443 HTTP/1.1\r\nHost: h.test:443\r\n\r\n",
            b"HTTP/1.1 200 Connection established\r\n\r\n",
            Told::new("CONNECT", "h.test:443", "h.test:443", "200"),
        ),
    ]
}

/// More than one at a time: answers cannot be told apart any more.
fn several() -> Vec<Talk> {
    let (one, two, three) = (get("/1"), get("/2"), get("/3"));
    let at_once = Both::default().client(&[&[&one[..], &two].concat()]).server(&[OK, &answer(404)]);
    let after = Both::default().client(&[&one, &two]).server(&[OK, &answer(404)]);
    let told = |path| Told::pipelined("GET", path, "h.test");
    vec![
        at_once.client(&[&three]).server(&[OK]).told(&[told("/1"), told("/3")]),
        after.client(&[&three]).server(&[OK]).told(&[told("/1"), told("/2"), told("/3")]),
    ]
}

fn ends() -> Vec<Talk> {
    let (one, unanswered) = (get("/1"), [Told::new("GET", "/1", "h.test", "")]);
    let talk = |client: &str, server: &str, told: &[Told]| Talk {
        client: format!(">{} {client}", hex(&one)),
        server: format!("<{} {server}", one.len()),
        told: told.to_vec(),
        ignored: 0,
    };
    vec![
        talk("$", "", &unanswered),
        talk("~50 !", "$", &unanswered),
        talk("$", "!", &unanswered),
        talk("/ $", &format!("$ >{}", hex(OK)), &[Told::new("GET", "/1", "h.test", "200")]),
        // Not an answer, and the answer behind it.
        talk(
            "$",
            &format!(">{} >{}", hex(b"HTTP/1.1 999 X\r\n\r\n"), hex(OK)),
            &[Told::new("GET", "/1", "h.test", "200")],
        ),
    ]
}

fn heads() -> Vec<Talk> {
    let head = |lines: &str| format!("GET /1 {lines}\r\n\r\n").into_bytes();
    let told = |host: &str| Told::new("GET", "/1", host, "200");
    let long = Told { cut: true, ..Told::new("GET", &format!("/{}", "x".repeat(127)), "h.test", "414") };
    let longest = Told { host: String::new(), ..long.clone() };
    let cookies = format!("Cookie: {}\r\n", "c".repeat(150)).repeat(6);
    vec![
        simple(&head("HTTP/1.1\r\nAccept: */*\r\nHOST: \t spaced.test:8080 "), 200, told("spaced.test:8080")),
        simple(&head(&format!("HTTP/1.1\r\n{cookies}host:late.test")), 200, told("late.test")),
        simple(&head("HTTP/1.1\r\nHost: first.test\r\nHost: second.test"), 200, told("first.test")),
        simple(&head("HTTP/1.0\r\nX-Host: none.test\r\nHostess: none.test"), 200, told("")),
        simple(b"GET /1 HTTP/1.1\nHost: lf.test\n\n", 200, told("lf.test")),
        simple(
            b"GET http://proxy.test/x?y=?z HTTP/1.1\r\n\r\n",
            200,
            Told::new("GET", "http://proxy.test/x", "", "200"),
        ),
        simple(b"OPTIONS * HTTP/1.0\r\n\r\n", 200, Told::new("OPTIONS", "*", "", "200")),
        simple(b"GET /a b HTTP/1.1\r\n\r\n", 400, Told::new("GET", "/a b", "", "400")),
        simple(
            b"GET /\x1b]0;x\x07\"\\\xff?q HTTP/1.1\r\nHost: \x00\x1b[31m\r\n\r\n",
            400,
            Told::new("GET", "/\x1b]0;x\x07\"\\\\xff", "\0\x1b[31m", "400"),
        ),
        simple(&get(&format!("/{}?q", "x".repeat(127))), 414, Told { cut: false, ..long.clone() }),
        simple(&get(&format!("/{}?q", "x".repeat(128))), 414, long.clone()),
        simple(&get(&format!("/{}", "x".repeat(2_000))), 414, long),
        simple(&get(&format!("/{}", "x".repeat(9_000))), 414, longest),
        // The Host header is in another segment.
        Both::default()
            .client(&[b"GET /1 HTTP/1.1\r\nAccept: */*\r\nHo", b"st: h.test\r\n\r\n"])
            .server(&[OK])
            .told(&[told("")]),
    ]
}

/// What only looks like it.
fn others() -> Vec<Talk> {
    let talk = |pieces: &[&[u8]], ignored| {
        let talk = Both::default().client(pieces).server(&[OK]).told(&[]);
        Talk { ignored, ..talk }
    };
    vec![
        talk(&[b"GET /in/", b"two HTTP/1.1\r\n\r\n"], 1),
        talk(&[b"GET some:key\r\n"], 1),
        talk(&[b"GET  HTTP/1.1\r\n\r\n"], 1),
        talk(&[b"GET /1 HTTP/2.0\r\n\r\n"], 1),
        talk(&[b"get /1 HTTP/1.1\r\n\r\n"], 0),
        talk(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 0),
        talk(&[b" GET /1 HTTP/1.1\r\n\r\n"], 0),
    ]
}
