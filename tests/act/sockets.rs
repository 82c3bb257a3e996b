//! `act sockets WORD...`: sockets opened and closed, one word after the other.
//!
//! | word | what is done |
//! |---|---|
//! | `listen=ADDRESS` | a TCP socket listens there; why not is printed |
//! | `bind=ADDRESS` | a UDP socket is bound there |
//! | `connect=ADDRESS` | a TCP connection is tried |
//! | `send=ADDRESS=TEXT` | a datagram is sent from a socket of its own |
//! | `close` | closes the socket opened last |
//! | `until=PATH` | waits until there is such a file |
//! | `heir` | a child inherits all sockets and waits; this process is killed |

use std::{
    fs::File,
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    process::Command,
    thread::sleep,
    time::Duration,
};

pub fn run(words: &[String]) {
    let mut open: Vec<OwnedFd> = Vec::new();
    for word in words {
        let (what, rest) = word.split_once('=').unwrap_or((word, ""));
        match what {
            "listen" => match TcpListener::bind(rest) {
                Ok(socket) => open.push(socket.into()),
                Err(e) => println!("{word}: {e}"),
            },
            "bind" => match UdpSocket::bind(rest) {
                Ok(socket) => open.push(socket.into()),
                Err(e) => println!("{word}: {e}"),
            },
            "connect" => drop(TcpStream::connect(rest)),
            "send" => send(rest),
            "close" => drop(open.pop()),
            "until" => {
                while !Path::new(rest).exists() {
                    sleep(Duration::from_millis(20));
                }
            }
            "heir" => bequeath(&open),
            other => panic!("what is to be done: {other}?"),
        }
    }
}

fn send(rest: &str) {
    let (to, text) = rest.split_once('=').expect("an address and a text");
    let own = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(own).expect("failed to bind");
    socket.send_to(text.as_bytes(), to).expect("failed to send");
}

#[allow(clippy::zombie_processes, reason = "the heir is to outlive this process, which ends at once")]
fn bequeath(sockets: &[OwnedFd]) {
    for socket in sockets {
        // SAFETY: changes a flag of a descriptor we own.
        unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFD, 0) };
    }
    let null = File::open("/dev/null").expect("no /dev/null");
    let child = Command::new("/bin/sleep").arg("1000").stdin(null).spawn();
    child.expect("failed to start an heir");
    // SAFETY: ends this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}
