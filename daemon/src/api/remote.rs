//! Metrics over TCP, for who scrapes from elsewhere. Nothing else is to be had there, and beyond loopback not without a token.

use std::{io::Read, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};

use super::{Api, problem, render};

/// Connections served at a time; the others wait in the backlog.
const CONNECTIONS: usize = 16;
/// How long a caller may take for its request.
const ASKING: Duration = Duration::from_secs(5);
/// How long one request may take, answer included.
const WHOLE: Duration = Duration::from_secs(30);
/// Longest token, in bytes.
const TOKEN_MAX: u64 = 4096;
/// Shortest one: what is guessed is no secret.
const TOKEN_MIN: usize = 16;

/// Where to listen, and whom to believe.
#[derive(Debug)]
pub struct Remote {
    pub listener: TcpListener,
    pub token: Option<PathBuf>,
}

impl Remote {
    /// Binds; a token that cannot be read is found out now.
    pub fn new(address: SocketAddr, token: Option<PathBuf>) -> anyhow::Result<Self> {
        use anyhow::Context;
        if let Some(path) = &token {
            read_token(path).with_context(|| format!("failed to read token {}", path.display()))?;
        }
        let listener = std::net::TcpListener::bind(address).with_context(|| {
            format!("failed to listen on {address} (under systemd, the unit must allow AF_INET and AF_INET6)")
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, token })
    }

    /// Serves until the future is dropped.
    pub async fn serve(self, api: Api) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let service = TowerToHyperService::new(router(api, self.token));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(e) => {
                    tracing::warn!("failed to accept a connection for metrics: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let service = service.clone();
            tokio::spawn(async move {
                let _place = place;
                let mut http = http1::Builder::new();
                // One request a connection: who is idle takes no place.
                http.timer(TokioTimer::new()).header_read_timeout(ASKING).keep_alive(false);
                let _ = timeout(WHOLE, http.serve_connection(TokioIo::new(stream), service)).await;
            });
        }
    }
}

fn router(api: Api, token: Option<PathBuf>) -> Router {
    Router::new()
        .route("/metrics", get(async |State(api): State<Api>| render(&api).await))
        .route_layer(from_fn_with_state(token, permit))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is only /metrics and /healthz here"))
        .with_state(api)
}

async fn permit(State(token): State<Option<PathBuf>>, request: Request, next: Next) -> Response {
    let Some(path) = token else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).map(|v| v.as_bytes());
    // Read each time: a token that is replaced counts at once.
    match read_token(&path) {
        Ok(token) if given.is_some_and(|g| is_bearer(g, token.as_bytes())) => next.run(request).await,
        Ok(_) => {
            let response = problem(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
            ([(header::WWW_AUTHENTICATE, "Bearer")], response).into_response()
        }
        Err(e) => {
            tracing::warn!("failed to read token {}: {e}", path.display());
            problem(StatusCode::SERVICE_UNAVAILABLE, "the token cannot be read")
        }
    }
}

fn read_token(path: &PathBuf) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(TOKEN_MAX).read_to_string(&mut text)?;
    match text.trim() {
        token if token.len() >= TOKEN_MIN => Ok(token.to_owned()),
        _ => Err(std::io::Error::other(format!("it has fewer than {TOKEN_MIN} characters"))),
    }
}

/// In a time that tells nothing of where the two differ.
fn is_bearer(given: &[u8], token: &[u8]) -> bool {
    let Some(given) = given.strip_prefix(b"Bearer ") else { return false };
    given.len() == token.len() && given.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_has_the_whole_token() {
        assert!(is_bearer(b"Bearer abc", b"abc"));
        for wrong in ["Bearer abd", "Bearer ab", "Bearer abcd", "abc", "Basic abc", ""] {
            assert!(!is_bearer(wrong.as_bytes(), b"abc"), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_trimmed_and_not_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(read_token(&path).is_err());
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert_eq!(read_token(&path).unwrap(), "0123456789abcdef");
        std::fs::write(&path, "short\n").unwrap();
        assert!(read_token(&path).is_err());
    }
}
