//! Somebody who takes what is posted as JSON over HTTP, and keeps it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Posted {
    /// `POST /path`.
    pub what: String,
    pub token: String,
    pub body: Value,
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("failed to listen");
        let address = listener.local_addr().expect("an address");
        let (posted, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&posted), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { address, posted, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.posted.lock().expect("poisoned").clone()
    }
}

impl Default for Sink {
    fn default() -> Self {
        Self::new()
    }
}

/// All requests of a connection.
fn serve(stream: TcpStream, kept: &Mutex<Vec<Posted>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let posted = request(&mut reader)?;
        kept.lock().ok()?.push(posted);
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Posted> {
    let (mut what, mut token, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut what).ok().filter(|n| *n > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => value.trim().clone_into(&mut token),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let what = what.rsplit_once(' ')?.0.to_owned();
    Some(Posted { what, token, body: serde_json::from_slice(&body).ok()? })
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
