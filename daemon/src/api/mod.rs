//! HTTP over a Unix socket. Whoever may open the socket may read; root alone may change things.

#![allow(clippy::result_large_err, reason = "the error is the answer, made once and sent")]

mod alerts;
mod changes;
pub mod client;
mod connection;
pub mod description;
mod events;
mod filter;
mod hold;
pub mod listener;
pub mod origin;
mod profile;
mod profiles;
pub mod remote;
mod report;
mod rules;
mod scrape;
mod status;
mod tables;
mod topology;

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, Request, State, rejection::PathRejection, rejection::QueryRejection},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::UnixListener, time::timeout};

use self::connection::Counts;
use self::listener::{Beyond, Bounds};
use self::origin::Door;
use crate::alert;
use crate::decode::text::json_document;
use crate::event::Hub;
use crate::history;
use crate::manager::desk::Desk;
use crate::otlp;
use crate::registry::{
    Handle,
    record::{View, is_meant},
};
use crate::scope::abi::{Container, Reader};
use crate::scope::mapped::Mapped;
use crate::stacks;

const SOCKET: Bounds = Bounds { connections: 256, beyond: Beyond::SentAway, asking: ASKING, whole: None };
/// How long a caller may take for the head of a request, and keep a connection that it does not use.
const ASKING: Duration = Duration::from_secs(5);
/// How long an answer may take to begin, the request's body included.
const BEGINNING: Duration = Duration::from_secs(60);
/// Of those that only the history knows, as many as are shown.
const ENDED: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Api {
    pub registry: Handle,
    pub desk: Desk,
    pub hub: Hub,
    /// If events are stored.
    pub history: Option<history::Handle>,
    /// If they are sent to a collector.
    pub otlp: Option<otlp::Handle>,
    /// If events are looked at by rules.
    pub alerts: Option<alert::Handle>,
    pub stacks: stacks::Handle,
    pub kept: Arc<Mapped<Reader>>,
    pub places: Arc<Mapped<Container>>,
    pub ring_bytes: u32,
    pub counts: Arc<Counts>,
    /// Where runtimes keep their containers' state.
    pub runtime_roots: Arc<[String]>,
    /// Whether the map is among the metrics.
    pub map_in_metrics: bool,
}

/// Serves until the future is dropped.
pub async fn serve(listener: UnixListener, api: Api) {
    let counts = api.counts.clone();
    let router = origin::guarded(router(api), Door::Unix, counts.clone());
    listener::serve(listener, router, &SOCKET, counts).await;
}

/// What there is, in the order of the document.
fn routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/healthz", get(async || "ok\n")),
        ("/metrics", get(scrape::serve)),
        ("/v1/openapi.json", get(description::serve)),
        ("/v1/version", get(version)),
        ("/v1/status", get(status::status)),
        ("/v1/alerts", get(alerts::alerts)),
        ("/v1/alerts/{id}", get(alerts::alert)),
        ("/v1/alarms", get(alerts::alarms)),
        ("/v1/rules", get(rules::list)),
        ("/v1/rules/reload", post(rules::reload)),
        ("/v1/profiles", get(profiles::list)),
        ("/v1/profiles/{key}", profiles::one()),
        ("/v1/profiles/{key}/pin", post(profiles::pin)),
        ("/v1/profiles/{key}/unpin", post(profiles::unpin)),
        ("/v1/containers", changes::containers(get(containers))),
        ("/v1/containers/{id}", changes::container(get(container))),
        ("/v1/containers/{id}/report", get(report::report)),
        ("/v1/containers/{id}/stacks", get(profile::first)),
        ("/v1/containers/{id}/stacks/{table}", get(profile::of_table)),
        ("/v1/containers/{id}/tables", get(tables::list)),
        ("/v1/containers/{id}/tables/{name}", get(tables::rows)),
        ("/v1/containers/{id}/tracers/{name}", changes::own()),
        ("/v1/containers/{id}/tracers/{name}/hold", post(hold::hold)),
        ("/v1/containers/{id}/tracers/{name}/params", changes::own_params()),
        ("/v1/tracers", changes::tracers(get(tracers))),
        ("/v1/tracers/{name}", changes::tracer(get(tracer))),
        ("/v1/tracers/{name}/stop", post(changes::stop)),
        ("/v1/tracers/{name}/start", post(changes::start)),
        ("/v1/tracers/{name}/params", changes::params()),
        ("/v1/tracers/{name}/budget", changes::budget()),
        ("/v1/topology", get(topology::map)),
        ("/v1/events", get(events::stream)),
    ]
}

fn router(api: Api) -> Router {
    let router =
        routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such resource"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done with it")
        })
        .layer(from_fn(in_time))
        .with_state(api)
}

/// Whoever is slow to say what is wanted is not waited for.
async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| problem(StatusCode::REQUEST_TIMEOUT, "the request took too long");
    timeout(BEGINNING, next.run(request)).await.unwrap_or_else(late)
}

fn json(value: &impl serde::Serialize) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json_document(value, false)).into_response()
}

/// RFC 9457.
pub fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
        "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

type Named = Result<Path<String>, PathRejection>;

fn not_a_name() -> Response {
    problem(StatusCode::BAD_REQUEST, "the name is not UTF-8")
}

async fn version(State(api): State<Api>) -> impl IntoResponse {
    json(&api.version())
}

/// Whether those that only the history knows are wanted, too.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Which {
    history: bool,
}

async fn containers(State(api): State<Api>, which: Result<Query<Which>, QueryRejection>) -> Response {
    let which = match which {
        Ok(Query(which)) => which,
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
    };
    let mut all = api.registry.list().await;
    if which.history {
        all.extend(api.stored(None, &all).await);
    }
    json(&all)
}

/// By id, a unique beginning of one, or a name; the newest of several generations.
async fn container(State(api): State<Api>, wanted: Named) -> Response {
    let Ok(Path(wanted)) = wanted else { return not_a_name() };
    let mut all = api.registry.list().await;
    all.retain(|c| is_meant(&wanted, &c.id, &c.name));
    if all.is_empty() {
        all = api.stored(Some(wanted.clone()), &[]).await;
    }
    all.sort_by(|a, b| {
        (a.state == "ended", &b.ledger.observed_from).cmp(&(b.state == "ended", &a.ledger.observed_from))
    });
    match all.into_iter().next() {
        Some(view) => json(&view),
        None => problem(StatusCode::NOT_FOUND, &format!("no container {wanted}")),
    }
}

/// Whether the cost of programs is wanted, too: it is counted from then on, for as long as somebody asks.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    cost: bool,
}

type Asked = Result<Query<Ask>, QueryRejection>;

impl Api {
    async fn heed(&self, asked: Asked) -> Result<(), Response> {
        let Query(ask) = asked.map_err(|e| problem(StatusCode::BAD_REQUEST, &e.body_text()))?;
        if ask.cost {
            self.registry.ask_for_cost().await;
        }
        Ok(())
    }
}

async fn tracers(State(api): State<Api>, asked: Asked) -> Response {
    match api.heed(asked).await {
        Ok(()) => json(&api.registry.tracers().await),
        Err(response) => response,
    }
}

async fn tracer(State(api): State<Api>, name: Named, asked: Asked) -> Response {
    if let Err(response) = api.heed(asked).await {
        return response;
    }
    let Ok(Path(name)) = name else { return not_a_name() };
    match api.registry.tracers().await.into_iter().find(|t| t.description.name == name) {
        Some(view) => json(&view),
        None => problem(StatusCode::NOT_FOUND, &format!("no tracer {name}")),
    }
}

impl Api {
    fn version(&self) -> serde_json::Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "epoch": self.kept[0].epoch.load(Relaxed),
            "newest_cursor": self.hub.newest(),
            "oldest_cursor": self.hub.oldest(),
        })
    }

    /// Ended containers that only the history knows, newest first.
    async fn stored(&self, wanted: Option<String>, known: &[View]) -> Vec<View> {
        let Some(history) = &self.history else { return Vec::new() };
        let stored = history.ended(wanted, ENDED).await.unwrap_or_else(|e| {
            tracing::warn!("failed to read the history: {e}");
            Vec::new()
        });
        let key = |v: &View| (v.id.clone(), v.cgroup_id, v.ledger.observed_from.clone());
        let known: HashSet<_> = known.iter().map(key).collect();
        stored.into_iter().map(|account| account.container).filter(|v| !known.contains(&key(v))).collect()
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let router =
            Router::new().route("/", post(async |_: axum::body::Bytes| "read")).layer(from_fn(in_time));
        let never = futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
        let request = Request::post("/").body(axum::body::Body::from_stream(never)).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
