//! HTTP over a Unix socket. Whoever may open the socket may read; root alone may change things.

#![allow(clippy::result_large_err, reason = "the error is the answer, made once and sent")]

mod changes;
pub mod client;
mod events;
mod profile;
pub mod remote;
mod tables;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;
use tokio::net::UnixListener;

use crate::decode::text::json_document;
use crate::event::Hub;
use crate::manager::desk::Desk;
use crate::metrics::{self, Gauges};
use crate::registry::{Handle, record::is_meant};
use crate::scope::abi::{Container, Reader};
use crate::scope::mapped::Mapped;
use crate::stacks;

#[derive(Debug, Clone)]
pub struct Api {
    pub registry: Handle,
    pub desk: Desk,
    pub hub: Hub,
    pub stacks: stacks::Handle,
    pub kept: Arc<Mapped<Reader>>,
    pub places: Arc<Mapped<Container>>,
    pub ring_bytes: u32,
}

/// Serves until the future is dropped.
pub async fn serve(listener: UnixListener, api: Api) -> std::io::Result<()> {
    axum::serve(listener, router(api).into_make_service_with_connect_info::<changes::Caller>()).await
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/v1/version", get(version))
        .route("/v1/containers", changes::containers(get(containers)))
        .route("/v1/containers/{id}", changes::container(get(container)))
        .route("/v1/containers/{id}/stacks", get(profile::first))
        .route("/v1/containers/{id}/stacks/{table}", get(profile::of_table))
        .route("/v1/containers/{id}/tables", get(tables::list))
        .route("/v1/containers/{id}/tables/{name}", get(tables::rows))
        .route("/v1/containers/{id}/tracers/{name}", changes::own())
        .route("/v1/containers/{id}/tracers/{name}/params", changes::own_params())
        .route("/v1/tracers", changes::tracers(get(tracers)))
        .route("/v1/tracers/{name}", changes::tracer(get(tracer)))
        .route("/v1/tracers/{name}/start", post(changes::start))
        .route("/v1/tracers/{name}/stop", post(changes::stop))
        .route("/v1/tracers/{name}/params", changes::params())
        .route("/v1/tracers/{name}/budget", changes::budget())
        .route("/v1/events", get(events::stream))
        .route("/metrics", get(scrape))
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such resource"))
        .method_not_allowed_fallback(async || {
            problem(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done with it")
        })
        .with_state(api)
}

fn json(value: &impl serde::Serialize) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json_document(value, false)).into_response()
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
        "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

type Named = Result<Path<String>, PathRejection>;

fn not_a_name() -> Response {
    problem(StatusCode::BAD_REQUEST, "the name is not UTF-8")
}

async fn version(State(api): State<Api>) -> impl IntoResponse {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": api.kept[0].epoch.load(Relaxed),
        "newest_cursor": api.hub.newest(),
        "oldest_cursor": api.hub.oldest(),
    }))
}

async fn containers(State(api): State<Api>) -> impl IntoResponse {
    json(&api.registry.list().await)
}

/// By id, a unique beginning of one, or a name; the newest of several generations.
async fn container(State(api): State<Api>, wanted: Named) -> Response {
    let Ok(Path(wanted)) = wanted else { return not_a_name() };
    let mut all = api.registry.list().await;
    all.retain(|c| is_meant(&wanted, &c.id, &c.name));
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

async fn scrape(State(api): State<Api>, asked: Asked) -> Response {
    match api.heed(asked).await {
        Ok(()) => render(&api).await,
        Err(response) => response,
    }
}

async fn render(api: &Api) -> Response {
    let Some(survey) = api.registry.survey().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
    };
    let gauges = api.clone();
    let text = tokio::task::spawn_blocking(move || metrics::render(&survey, &gauges.gauges())).await;
    let text = text.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

impl Api {
    fn gauges(&self) -> Gauges {
        let (history_bytes, history_limit) = self.hub.usage();
        // Bytes the containers have put in and not got back yet.
        let held = |c: &Container| c.produced.load(Relaxed).saturating_sub(c.released.load(Relaxed));
        Gauges {
            history_bytes,
            history_limit,
            ring_bytes: self.ring_bytes,
            ring_used: self.places.iter().map(held).sum(),
            managers: self.desk.managers().iter().filter_map(|m| Some((m.name(), m.is_up()?))).collect(),
            unattributed: self.kept[0].unattributed.load(Relaxed),
        }
    }
}
