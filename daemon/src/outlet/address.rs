//! Where somebody listens. No names, since the static binary does not resolve them, and no TLS: who listens on the node does both.

use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// `http://ADDRESS:PORT[/PATH]` or `unix:/PATH`: the place, and what stands before each request's path.
pub fn parse(endpoint: &str) -> Result<(Place, String), String> {
    let wrong = || {
        format!(
            "is {endpoint:?}: write http://ADDRESS:PORT with an IP address, or unix:/PATH; for names and TLS, send to a collector or proxy on the node"
        )
    };
    if let Some(path) = unix(endpoint) {
        return path.map(|path| (Place::Unix(path), String::new())).ok_or_else(wrong);
    }
    let rest = endpoint.strip_prefix("http://").ok_or_else(wrong)?;
    let (address, base) = rest.split_once('/').map_or((rest, ""), |(a, b)| (a, b.trim_end_matches('/')));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    let base = if base.is_empty() { String::new() } else { format!("/{base}") };
    match socket(address) {
        Some(address) if base.bytes().all(plain) => Ok((Place::Tcp(address), base)),
        _ => Err(wrong()),
    }
}

/// Of `unix:/PATH` the path; within, None if it is not absolute.
pub fn unix(endpoint: &str) -> Option<Option<PathBuf>> {
    let path = endpoint.strip_prefix("unix:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.starts_with('/').then(|| path.into()))
}

/// `ADDRESS:PORT`, or `localhost:PORT`.
pub fn socket(address: &str) -> Option<SocketAddr> {
    match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => address.parse().ok(),
    }
}
