//! The command line's side of the API.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for events with ids that say where to go on.
pub const SSE: (&str, &str) = ("accept", "text/event-stream");

/// Sends a GET and returns the body, to be read as it comes.
pub async fn get(socket: &Path, target: &str) -> anyhow::Result<Incoming> {
    send(socket, Method::GET, target, Bytes::new()).await
}

/// Server-sent events behind the one with this id.
pub async fn events(socket: &Path, target: &str, last: Option<&str>) -> anyhow::Result<Incoming> {
    let mut headers = vec![SSE];
    headers.extend(last.map(|id| ("last-event-id", id)));
    exchange(socket, Method::GET, target, &headers, Bytes::new()).await
}

/// Sends a request and returns the body of a good answer.
pub async fn send(socket: &Path, method: Method, target: &str, body: Bytes) -> anyhow::Result<Incoming> {
    exchange(socket, method, target, &[], body).await
}

pub async fn exchange(
    socket: &Path,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> anyhow::Result<Incoming> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "failed to reach the daemon at {}: is it running, and may you open the socket?",
            socket.display()
        )
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder().method(&method).uri(target).header("host", "remora");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(body))?;
    let doing = format!("failed to {} {target}", method.as_str().to_lowercase());
    // systemd may hold the socket of a daemon that does not come up.
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request))
        .await
        .with_context(|| format!("the daemon did not answer within {} s", PATIENCE.as_secs()))?
        .with_context(|| doing.clone())?;
    let status = response.status();
    let body = response.into_body();
    if status.is_success() {
        return Ok(body);
    }
    let text = body.collect().await?.to_bytes();
    let problem: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    let detail = problem.as_ref().and_then(|p| p["detail"].as_str()).unwrap_or("no details").to_owned();
    bail!("{doing}: {status}: {detail}");
}

pub async fn json<T: serde::de::DeserializeOwned>(socket: &Path, target: &str) -> anyhow::Result<T> {
    answer(socket, Method::GET, target, Bytes::new()).await
}

/// Sends a request and reads the answer as JSON.
pub async fn answer<T: serde::de::DeserializeOwned>(
    socket: &Path,
    method: Method,
    target: &str,
    body: Bytes,
) -> anyhow::Result<T> {
    let body = send(socket, method, target, body).await?.collect().await?.to_bytes();
    serde_json::from_slice(&body).with_context(|| format!("failed to read the daemon's answer to {target}"))
}

/// For a query's value.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
