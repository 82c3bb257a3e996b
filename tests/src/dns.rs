//! A DNS server that writes down what it was asked and what it answered.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const PTR: u16 = 12;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;

/// A message of one question.
pub fn query(id: u16, labels: &[&[u8]], kind: u16) -> Vec<u8> {
    let mut out = [id, 0x0100, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
    out.extend(name(labels));
    out.extend([kind, 1].map(u16::to_be_bytes).concat());
    out
}

pub fn name(labels: &[&[u8]]) -> Vec<u8> {
    let mut out: Vec<u8> = labels.iter().flat_map(|l| [&[l.len() as u8][..], l].concat()).collect();
    out.push(0);
    out
}

/// As it is sent over TCP.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// What an answer says, in words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    pub transport: &'static str,
    pub id: u16,
    /// The first label, which decides what is answered.
    pub what: String,
    pub rcode: &'static str,
    pub flags: &'static str,
    pub answers: Vec<String>,
    pub targets: Vec<String>,
    pub records: u16,
    pub size: usize,
    /// How long it was thought about.
    pub took: Duration,
}

struct Records {
    bytes: Vec<u8>,
    said: Said,
}

impl Records {
    fn add(&mut self, kind: u16, data: &[u8]) {
        // The name is where the question's is.
        self.bytes.extend([0xc00c, kind, 1, 0, 60, data.len() as u16].map(u16::to_be_bytes).concat());
        self.bytes.extend(data);
        self.said.records += 1;
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.add(A, &v4.octets()),
            IpAddr::V6(v6) => self.add(AAAA, &v6.octets()),
        }
        self.said.answers.push(address.to_string());
    }

    fn target(&mut self, kind: u16, data: &[u8], shown: &str) {
        self.add(kind, data);
        self.said.targets.push(shown.to_owned());
    }
}

pub const SIX: [&str; 8] = [
    "2001:db8::1",
    "::",
    "::1",
    "1::",
    "fe80::1:0:0:abcd",
    "1:0:0:2:0:0:0:3",
    "1:2:3:4:5:6:7:8",
    "::ffff:192.0.2.9",
];

/// The answer to a question, by the first label of its name; `None`: there is none.
fn answer(question: &[u8], transport: &'static str) -> Option<(Vec<u8>, Said)> {
    let first = usize::from(*question.get(12)?);
    let what = String::from_utf8_lossy(question.get(13..13 + first)?).into_owned();
    let end = 12 + question[12..].iter().position(|b| *b == 0)? + 5;
    let mut said = Said { transport, rcode: "NOERROR", flags: "AA|RD|RA", ..Said::default() };
    said.id = u16::from_be_bytes([question[0], question[1]]);
    said.what = what.clone();
    let mut r = Records { bytes: Vec::new(), said };
    let (mut flags, mut delay) = (0x8580, Duration::ZERO);
    let here = end; // where the first record begins
    match what.as_str() {
        "one" => r.address(Ipv4Addr::new(192, 0, 2, 1).into()),
        "octets" => [[0, 9, 10, 99], [100, 199, 200, 255]].into_iter().for_each(|o| r.address(o.into())),
        "many" | "huge" => (0..if what == "many" { 20 } else { 200 })
            .for_each(|i| r.address(Ipv4Addr::new(198, 51, 100, i).into())),
        "six" => SIX.iter().for_each(|a| r.address(a.parse::<Ipv6Addr>().expect("an address").into())),
        "chain" => {
            r.target(CNAME, &name(&[b"first", b"cdn", b"test"]), "first.cdn.test");
            // `second` and the rest of the name before, which stands behind 12 bytes of header and the label `first`.
            let at = (0xc000 | (here + 12 + 6)) as u16;
            r.target(CNAME, &[&b"\x06second"[..], &at.to_be_bytes()].concat(), "second.cdn.test");
            r.address(Ipv4Addr::new(203, 0, 113, 7).into());
        }
        "loop" => {
            // Its target points at itself.
            r.add(CNAME, &((0xc000 | (here + 12)) as u16).to_be_bytes());
            r.address(Ipv4Addr::new(203, 0, 113, 8).into());
        }
        "reverse" => r.target(
            PTR,
            &name(&[b"a.b", b"h\\st", b"n\0l \xff", b"test"]),
            r"a\.b.h\\st.n\000l\032\255.test",
        ),
        "text" => r.add(TXT, b"\x04text"),
        "nothing" => (flags, r.said.rcode) = (0x8583, "NXDOMAIN"),
        "broken" => (flags, r.said.rcode, r.said.flags) = (0x8182, "SERVFAIL", "RD|RA"),
        "cut" if transport == "udp" => (flags, r.said.flags) = (0x8780, "AA|TC|RD|RA"),
        "cut" => r.address(Ipv4Addr::new(192, 0, 2, 2).into()),
        "slow" => delay = Duration::from_millis(300),
        "silent" => return None,
        _ => {}
    }
    let begun = Instant::now();
    std::thread::sleep(delay);
    let mut out = question[..2].to_vec();
    out.extend([flags, 1, r.said.records, 0, 0].map(u16::to_be_bytes).concat());
    out.extend(question.get(12..end)?);
    out.extend(r.bytes);
    r.said.size = out.len();
    r.said.took = begun.elapsed();
    Some((out, r.said))
}

#[derive(Debug, Default)]
struct Log {
    asked: Vec<Vec<u8>>,
    said: Vec<Said>,
}

#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    log: Arc<Mutex<Log>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// At this address, with port 0 at any.
    pub fn new(ip: &str, port: u16) -> Self {
        Self::damaging(ip, port, |_, _| ())
    }

    /// One whose UDP answers are changed before they are sent: number and message.
    pub fn damaging(ip: &str, port: u16, damage: impl FnMut(usize, &mut Vec<u8>) + Send + 'static) -> Self {
        let (udp, tcp) = both(ip.parse().expect("an address"), port);
        let address = udp.local_addr().expect("an address");
        let (log, over) = (Arc::<Mutex<Log>>::default(), Arc::<AtomicBool>::default());
        let (l, o) = (log.clone(), over.clone());
        let first = std::thread::spawn(move || serve_udp(&udp, &l, &o, damage));
        let (l, o) = (log.clone(), over.clone());
        let second = std::thread::spawn(move || serve_tcp(&tcp, &l, &o));
        Self { address, log, over, threads: vec![first, second] }
    }

    /// What was answered so far.
    pub fn said(&self) -> Vec<Said> {
        self.log.lock().expect("a log").said.clone()
    }

    /// Messages as they came.
    pub fn asked(&self) -> Vec<Vec<u8>> {
        self.log.lock().expect("a log").asked.clone()
    }
}

/// Both protocols at one port.
fn both(ip: IpAddr, port: u16) -> (UdpSocket, TcpListener) {
    crate::wait_for("a port", || {
        let tcp = TcpListener::bind((ip, port)).ok()?;
        let udp = UdpSocket::bind(tcp.local_addr().ok()?).ok()?;
        Some((udp, tcp))
    })
}

fn serve_udp(
    socket: &UdpSocket,
    log: &Mutex<Log>,
    over: &AtomicBool,
    mut damage: impl FnMut(usize, &mut Vec<u8>),
) {
    let mut buffer = [0; 65_536];
    loop {
        let (size, from) = socket.recv_from(&mut buffer).expect("failed to receive");
        if over.load(Ordering::Relaxed) {
            return;
        }
        let reply = answer(&buffer[..size], "udp");
        let mut log = log.lock().expect("a log");
        log.asked.push(buffer[..size].to_vec());
        if let Some((mut message, said)) = reply {
            damage(log.said.len(), &mut message);
            log.said.push(said);
            socket.send_to(&message, from).expect("failed to send");
        }
    }
}

fn serve_tcp(listener: &TcpListener, log: &Mutex<Log>, over: &AtomicBool) {
    loop {
        let (stream, _) = listener.accept().expect("failed to accept");
        if over.load(Ordering::Relaxed) {
            return;
        }
        // A client that breaks off is not our concern.
        let _ = serve_stream(stream, log);
    }
}

fn serve_stream(mut stream: TcpStream, log: &Mutex<Log>) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut message)?;
        let reply = answer(&message, "tcp");
        let mut log = log.lock().expect("a log");
        log.asked.push(message);
        if let Some((message, said)) = reply {
            log.said.push(said);
            stream.write_all(&framed(&message))?;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let waker = UdpSocket::bind((self.address.ip(), 0)).expect("failed to bind");
        waker.send_to(b"", self.address).expect("failed to send");
        drop(TcpStream::connect(self.address));
        self.threads.drain(..).for_each(|t| drop(t.join()));
    }
}
