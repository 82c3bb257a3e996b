//! `act resets PORT...`: a connection to each port on loopback, which the peer resets.

use std::{
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsRawFd,
};

pub fn run(args: &[String]) {
    for port in args {
        let port: u16 = port.parse().expect("no port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("failed to listen");
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("failed to connect");
        let (server, _) = listener.accept().expect("failed to accept");
        let now = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the option's value is as long as it is told, and outlives the call.
        let rc = unsafe {
            let value = (&raw const now).cast();
            let len = size_of_val(&now) as u32;
            libc::setsockopt(server.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len)
        };
        assert_eq!(rc, 0, "no linger");
        drop(server);
        let error = client.read(&mut [0]).expect_err("it was not reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
