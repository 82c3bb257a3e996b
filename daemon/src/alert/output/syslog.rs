//! RFC 5424 with structured data: a datagram each (RFC 5426, or a Unix socket's), or over TCP with its length before it (RFC 6587).

use std::{io, os::unix::net::UnixDatagram, path::Path, time::Duration};

use remora_alert::alarm::Severity;
use remora_alert::incident::{Incident, State};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{Entry, Outcome, taken};
use crate::alert::settings::{self, SyslogPlace};
use crate::alert::subject;
use crate::decode::text::printable;

/// Security and authorisation messages.
const FACILITY: u8 = 10;
/// Longest message, in bytes, and longest in a datagram over a network, which every receiver has to take (RFC 5426).
const LONGEST: usize = 8000;
const LONGEST_UDP: usize = 2048;
/// What a receiver over TCP has to take a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// That of RFC 5612: who is not registered has no number.
const NAME: &str = "remora@32473";

#[derive(Debug)]
pub struct Syslog {
    place: SyslogPlace,
    stream: Option<TcpStream>,
}

impl Syslog {
    pub fn new(settings: &settings::Syslog) -> Option<Self> {
        let place = settings::syslog(settings.address.as_deref()?).ok()?;
        Some(Self { place, stream: None })
    }

    pub async fn send(&mut self, batch: &[Entry]) -> Outcome {
        let done = match self.place.clone() {
            SyslogPlace::Udp(address) => udp(address, batch).await,
            SyslogPlace::Unix(path) => unix(&path, batch),
            SyslogPlace::Tcp(address) => {
                let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
                timeout(PATIENCE, self.tcp(address, batch)).await.unwrap_or_else(late)
            }
        };
        match done {
            Ok(()) => taken(),
            Err(e) => {
                self.stream = None;
                Outcome::Later(e.to_string(), None)
            }
        }
    }

    /// Nobody says what has arrived: that the other side hung up is all that can be known.
    async fn tcp(&mut self, address: std::net::SocketAddr, batch: &[Entry]) -> io::Result<()> {
        let mut stream = match self.stream.take().filter(is_open) {
            Some(stream) => stream,
            None => TcpStream::connect(address).await?,
        };
        for entry in batch {
            stream.write_all(format!("{} {}", entry.body.len(), entry.body).as_bytes()).await?;
        }
        self.stream = Some(stream);
        Ok(())
    }
}

fn is_open(stream: &TcpStream) -> bool {
    let nothing = stream.try_read(&mut [0; 64]);
    matches!(nothing, Ok(1..)) || nothing.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
}

async fn udp(address: std::net::SocketAddr, batch: &[Entry]) -> io::Result<()> {
    let own: std::net::SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    for entry in batch {
        socket.send(cut(&entry.body, LONGEST_UDP).as_bytes()).await?;
    }
    // That nobody listens is told to who sends again.
    tokio::time::sleep(Duration::from_millis(20)).await;
    socket.take_error()?.map_or(Ok(()), Err)
}

fn unix(path: &Path, batch: &[Entry]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    batch.iter().try_for_each(|entry| socket.send(entry.body.as_bytes()).map(drop))
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub fn form(incident: &Incident) -> String {
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let host = host.ok().filter(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_graphic()));
    let level = match incident.severity {
        Severity::Info => 6,
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Critical => 2,
    };
    let line = format!(
        "<{}>1 {} {} remora {} incident {} {}: {}",
        FACILITY * 8 + level,
        // Of a fraction no more than microseconds.
        time(&incident.last),
        host.as_deref().unwrap_or("-"),
        std::process::id(),
        structured(incident),
        printable(&incident.title),
        printable(&incident.text),
    );
    cut(&line, LONGEST).to_owned()
}

fn time(rfc3339: &str) -> String {
    match rfc3339.strip_suffix('Z').and_then(|t| t.split_once('.')) {
        Some((whole, fraction)) => format!("{whole}.{}Z", cut(fraction, 6)),
        None => rfc3339.to_owned(),
    }
}

fn structured(incident: &Incident) -> String {
    let whom = subject::Names::of(incident);
    let state = if incident.state == State::Open { "open" } else { "over" };
    let pairs = [
        ("id", incident.id.clone()),
        ("state", state.to_owned()),
        ("severity", incident.severity.name().to_owned()),
        ("score", incident.score.to_string()),
        ("rules", incident.rules.join(",")),
        ("tags", incident.tags.join(",")),
        ("image", incident.image.clone()),
        ("container", whom.container),
        ("namespace", whom.namespace),
        ("pod", whom.pod),
        ("alarms", incident.alarms_total.to_string()),
        ("lost", incident.ledger.lost.to_string()),
    ];
    let mut out = format!("[{NAME}");
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        out += &format!(" {key}=\"{}\"", escaped(cut(value, 500)));
    }
    out + "]"
}

fn escaped(value: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' | ']' => format!("\\{c}"),
        c => c.to_string(),
    };
    printable(value).chars().map(escape).collect()
}
