//! What is to be had over TCP, for who asks from elsewhere: metrics, or the whole API for reading. Beyond loopback not without
//! a token, and nobody there is root.

use std::{
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::listener::{self, Beyond, Bounds};
use super::origin::{self, Door};
use super::{ASKING, Api, problem, router, scrape};
use crate::config;

/// One request a connection, and that within half a minute, answer included.
const SCRAPES: Bounds =
    Bounds { connections: 16, beyond: Beyond::Waits, asking: ASKING, whole: Some(Duration::from_secs(30)) };
/// Streams go on for as long as they are read: one more would wait for ever.
const READERS: Bounds = Bounds { connections: 64, beyond: Beyond::SentAway, asking: ASKING, whole: None };
/// Whether the daemon answers is no secret.
const HEALTH: &str = "/healthz";
/// Longest token, in bytes.
const TOKEN_MAX: u64 = 4096;
/// Shortest one: what is guessed is no secret.
const TOKEN_MIN: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Metrics,
    Reading,
}

/// Where to listen, and whom to believe.
#[derive(Debug)]
pub struct Remote {
    part: Part,
    listener: TcpListener,
    token: Option<PathBuf>,
    door: Door,
}

impl Remote {
    /// Binds what is configured.
    pub fn all(settings: &config::Api) -> anyhow::Result<Vec<Self>> {
        let metrics = (Part::Metrics, settings.metrics_listen, &settings.metrics_token_file);
        let reading = (Part::Reading, settings.listen, &settings.token_file);
        let wanted = [metrics, reading].into_iter().filter_map(|(part, at, token)| Some((part, at?, token)));
        wanted.map(|(part, at, token)| Self::new(part, at, token.clone())).collect()
    }

    /// A token that cannot be read is found out now.
    fn new(part: Part, address: SocketAddr, token: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = &token {
            read_token(path).with_context(|| format!("failed to read token {}", path.display()))?;
        }
        let listener = std::net::TcpListener::bind(address).with_context(|| {
            format!("failed to listen on {address} (under systemd, the unit must allow AF_INET and AF_INET6)")
        })?;
        listener.set_nonblocking(true)?;
        let door = if address.ip().is_loopback() { Door::Loopback } else { Door::Beyond };
        Ok(Self { part, listener: TcpListener::from_std(listener)?, token, door })
    }

    /// Serves until the future is dropped.
    pub async fn serve(self, api: Api) {
        let counts = api.counts.clone();
        let (router, bounds) = match self.part {
            Part::Metrics => (metrics(api), &SCRAPES),
            Part::Reading => (router(api).layer(from_fn(only_read)), &READERS),
        };
        let router = router.layer(from_fn_with_state(self.token, permit));
        let router = origin::guarded(router, self.door, counts.clone());
        listener::serve(self.listener, router, bounds, counts).await;
    }
}

fn metrics(api: Api) -> Router {
    Router::new()
        .route(
            "/metrics",
            get(async |State(api): State<Api>, headers: HeaderMap| scrape::render(&api, &headers).await),
        )
        .route(HEALTH, get(async || "ok\n"))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is only /metrics and /healthz here"))
        .with_state(api)
}

async fn only_read(request: Request, next: Next) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => next.run(request).await,
        _ => problem(StatusCode::FORBIDDEN, "this is for reading only: changes go over the Unix socket"),
    }
}

async fn permit(State(token): State<Option<PathBuf>>, request: Request, next: Next) -> Response {
    let Some(path) = token.filter(|_| request.uri().path() != HEALTH) else { return next.run(request).await };
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

/// What the file holds, without blanks around it.
pub fn read_token(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(TOKEN_MAX).read_to_string(&mut text)?;
    match text.trim() {
        token if token.len() >= TOKEN_MIN => Ok(token.to_owned()),
        _ => Err(std::io::Error::other(format!("it has fewer than {TOKEN_MIN} characters"))),
    }
}

fn is_bearer(given: &[u8], token: &[u8]) -> bool {
    given.strip_prefix(b"Bearer ").is_some_and(|given| same(given, token))
}

/// In a time that tells nothing of where the two differ.
pub fn same(given: &[u8], token: &[u8]) -> bool {
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
