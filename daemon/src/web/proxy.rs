//! Passes a request on to the daemon, and its answer back as it comes.

use std::{path::Path, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderName, StatusCode, header, request::Parts},
    response::Response,
};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::timeout};

use crate::api::problem;

/// What the daemon is told of a request.
const ASKED: [HeaderName; 3] =
    [header::ACCEPT, header::CONTENT_TYPE, HeaderName::from_static("last-event-id")];
/// Largest body that is passed on, in bytes: parameters and wishes, no objects.
const BODY_MAX: usize = 64 << 10;
/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn forward(socket: &Path, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MAX).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than what a page says");
    };
    match timeout(PATIENCE, ask(socket, &parts, body)).await {
        Ok(Ok(answer)) => trimmed(answer),
        Ok(Err(e)) => {
            let socket = socket.display();
            problem(StatusCode::BAD_GATEWAY, &format!("failed to ask the daemon at {socket}: {e:#}"))
        }
        Err(_) => problem(StatusCode::GATEWAY_TIMEOUT, "the daemon does not answer"),
    }
}

async fn ask(socket: &Path, parts: &Parts, body: Bytes) -> anyhow::Result<hyper::Response<Incoming>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let target = parts.uri.path_and_query().map_or("/", |t| t.as_str());
    let mut request = hyper::Request::builder().method(&parts.method).uri(target).header("host", "remora");
    for name in &ASKED {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value);
        }
    }
    Ok(sender.send_request(request.body(Full::new(body))?).await?)
}

/// Status, kind and body: no other header of the daemon's means anything here.
fn trimmed(answer: hyper::Response<Incoming>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}
