//! The page, for a person with a browser: served on loopback by a process of that person's own, which asks the daemon over
//! its socket as the command line does. So the kernel says who asks, and the daemon has no further door.

mod files;
mod guard;
pub mod keys;
mod proxy;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::api::listener::{self, Beyond, Bounds};
use crate::api::problem;
use keys::Keys;

/// A few tabs, each with its stream of events.
const BOUNDS: Bounds =
    Bounds { connections: 64, beyond: Beyond::Waits, asking: Duration::from_secs(30), whole: None };
/// Longest key that is read, in bytes.
const KEY_MAX: usize = 4096;

#[derive(Debug, Clone)]
pub struct Web {
    /// The daemon's.
    pub socket: PathBuf,
    pub keys: Arc<Keys>,
    /// Whether requests that change something are passed on, too. Whether they may is the daemon's to say.
    pub changes: bool,
}

/// Serves until the future is dropped.
pub async fn serve(listener: TcpListener, web: Web) {
    listener::serve(listener, router(web), &BOUNDS, Arc::default()).await;
}

fn router(web: Web) -> Router {
    Router::new()
        .route("/v1/{*rest}", any(pass))
        .route("/metrics", get(pass))
        .route("/session", get(async |State(web): State<Web>| session(&web)))
        .route_layer(from_fn_with_state(web.clone(), permit))
        .route("/session", post(enter))
        .fallback(files::file)
        .layer(from_fn(guard::guard))
        .with_state(web)
}

/// What the page may do.
fn session(web: &Web) -> Response {
    axum::Json(json!({ "changes": web.changes })).into_response()
}

/// Gives a session to who has a key.
async fn enter(State(web): State<Web>, request: Request) -> Response {
    let key = axum::body::to_bytes(request.into_body(), KEY_MAX).await.unwrap_or_default();
    match web.keys.enter(&key) {
        Some(session) => axum::Json(json!({ "session": session })).into_response(),
        None => problem(StatusCode::UNAUTHORIZED, "this link has been used, or is none of this server's"),
    }
}

async fn permit(State(web): State<Web>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|v| v.as_bytes());
    match given.and_then(|g| g.strip_prefix(b"Bearer ")) {
        Some(session) if web.keys.knows(session) => next.run(request).await,
        _ => problem(StatusCode::UNAUTHORIZED, "the session is missing or has ended"),
    }
}

async fn pass(State(web): State<Web>, request: Request) -> Response {
    if !web.changes && request.method() != Method::GET {
        return problem(StatusCode::FORBIDDEN, "this page only reads: it was started without --changes");
    }
    proxy::forward(&web.socket, request).await
}
