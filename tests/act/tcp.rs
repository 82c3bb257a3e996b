//! `act tcp client ADDRESS SCRIPT...` and `act tcp server ADDRESS PORT-FILE [defer] SCRIPT...`: one connection a script,
//! one after the other; `@FILE` stands for a script a line. A script's words:
//!
//! | word | what is done |
//! |---|---|
//! | `>HEX` | the bytes are written at once, as a segment of their own if they fit |
//! | `<N` | so many bytes are read |
//! | `~MS` | a pause |
//! | `/` | nothing more will be written |
//! | `$` | reads to the end |
//! | `!` | the connection is reset |

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread::sleep,
    time::Duration,
};

pub fn run(args: &[String]) {
    match args {
        [how, address, scripts @ ..] if how == "client" => {
            for script in expanded(scripts) {
                play(&mut TcpStream::connect(address).expect("failed to connect"), &script);
            }
        }
        [how, address, file, defer, scripts @ ..] if how == "server" && defer == "defer" => {
            serve(address, file, true, scripts);
        }
        [how, address, file, scripts @ ..] if how == "server" => serve(address, file, false, scripts),
        _ => panic!("what is to be done: {args:?}?"),
    }
}

fn serve(address: &str, file: &str, defer: bool, scripts: &[String]) {
    let listener = TcpListener::bind(address).expect("failed to listen");
    if defer {
        option(&listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &30i32);
    }
    let new = format!("{file}.new");
    let port = listener.local_addr().expect("an address").port();
    fs::write(&new, port.to_string()).and_then(|()| fs::rename(new, file)).expect("failed to write the port");
    for script in expanded(scripts) {
        play(&mut listener.accept().expect("failed to accept").0, &script);
    }
}

fn expanded(scripts: &[String]) -> Vec<String> {
    let one = |s: &String| match s.strip_prefix('@') {
        Some(file) => fs::read_to_string(file).expect("no scripts").lines().map(str::to_owned).collect(),
        None => vec![s.clone()],
    };
    scripts.iter().flat_map(one).collect()
}

/// Plays a script; what was read. What the peer does to the connection is no failure.
pub fn play(stream: &mut TcpStream, script: &str) -> Vec<u8> {
    stream.set_nodelay(true).expect("failed to set an option");
    let mut got = Vec::new();
    for word in script.split_whitespace() {
        let (what, rest) = word.split_at(1);
        let number = || rest.parse().expect("a number");
        match what {
            ">" => drop(stream.write_all(&unhex(rest))),
            "<" => drop(Read::take(&mut *stream, number()).read_to_end(&mut got)),
            "~" => sleep(Duration::from_millis(number())),
            "/" => drop(stream.shutdown(std::net::Shutdown::Write)),
            "$" => drop(stream.read_to_end(&mut got)),
            "!" => {
                option(stream, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
            }
            _ => panic!("what is {word}?"),
        }
    }
    got
}

pub fn unhex(text: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

pub fn option<T>(socket: &impl AsRawFd, level: i32, name: i32, value: &T) {
    let at = std::ptr::from_ref(value).cast();
    // SAFETY: the value outlives the call, which is told its size.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, size_of::<T>() as u32) };
    assert_eq!(result, 0, "failed to set an option");
}
