//! The API as its clients have it: cursors, who is let in, what is bounded, and its own description.

mod access;
mod cursors;
mod described;
mod proxy;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use remora_tests::{Bed, patience};

/// A request, by hand; HTTP/1.0 has no chunks.
fn open(bed: &Bed, target: &str, headers: &[String]) -> UnixStream {
    let mut stream = UnixStream::connect(bed.path("api.sock")).expect("failed to connect");
    stream.set_read_timeout(Some(patience())).expect("failed to set a timeout");
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    write!(stream, "GET {target} HTTP/1.0\r\n{headers}\r\n").expect("failed to ask");
    stream
}

/// The head of an answer, up to the empty line.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
