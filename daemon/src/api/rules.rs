//! Rules: those there are, and reading their files again.

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json as object;

use super::{Api, alerts::switched_off, changes::Root, json, problem};

/// `GET /v1/rules`
pub async fn list(State(api): State<Api>) -> Response {
    let Some(alerts) = &api.alerts else { return json(&[(); 0]) };
    match alerts.rules().await {
        Some(rules) => json(&rules),
        None => stopping(),
    }
}

/// `POST /v1/rules/reload`
pub async fn reload(_: Root, State(api): State<Api>) -> Response {
    let Some(alerts) = &api.alerts else { return switched_off() };
    match alerts.reload().await {
        Some(problems) => json(&object!({ "problems": problems })),
        None => stopping(),
    }
}

pub(super) fn stopping() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")
}
