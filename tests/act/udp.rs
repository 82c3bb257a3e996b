//! `act udp WHAT FILE`: a UDP socket on loopback. Its port is in the file once it is done; it ends when that is gone.
//!
//! | what | is done |
//! |---|---|
//! | `large` | datagrams to itself that have to be cut; the kernel must have counted them alike |
//! | `many=NUMBER` | a datagram to each of so many addresses |
//! | `mute` | nothing |

use std::{fs, net::UdpSocket};

use remora_tests::wait_for;

pub fn run(args: &[String]) {
    let [what, file] = args else { panic!("told {args:?}") };
    let socket = UdpSocket::bind("127.0.0.1:0").expect("failed to bind");
    match what.split_once('=') {
        Some((_, number)) => many(&socket, number.parse().expect("a number")),
        None if what == "large" => large(&socket),
        None => {}
    }
    fs::write(file, socket.local_addr().expect("an address").port().to_string()).expect("failed to write");
    wait_for("the end", || (!fs::exists(file).expect("failed to look")).then_some(()));
}

fn many(socket: &UdpSocket, number: u32) {
    for i in 0..number {
        let to = format!("127.88.{}.{}:9", i >> 8, i & 255);
        socket.send_to(b"12345", to).expect("failed to send");
    }
}

fn large(socket: &UdpSocket) {
    let mut buffer = vec![0; 65_536];
    for size in [0, 1472, 1473, 8000, 60_000] {
        socket.send_to(&buffer[..size], socket.local_addr().expect("an address")).expect("failed to send");
        assert_eq!(socket.recv(&mut buffer).expect("failed to receive"), size);
    }
    let snmp = fs::read_to_string("/proc/net/snmp").expect("no counts");
    let udp: Vec<&str> = snmp.lines().filter(|l| l.starts_with("Udp:")).collect();
    let count = |name: &str| {
        let at = udp[0].split(' ').position(|n| n == name).expect("no such count");
        udp[1].split(' ').nth(at).and_then(|n| n.parse().ok())
    };
    assert_eq!((count("InDatagrams"), count("OutDatagrams")), (Some(5), Some(5)), "{udp:?}");
}
