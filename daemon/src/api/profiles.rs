//! Learned profiles: read by whoever may read, changed by root.

use axum::{
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde::Deserialize;
use serde_json::json as object;

use super::{Api, Named, alerts::switched_off, changes::Root, json, not_a_name, problem, rules::stopping};
use crate::alert::{Change, Refused};

/// Largest profile that is read, in bytes.
const LARGEST: usize = 4 << 20;

/// `GET /v1/profiles`
pub async fn list(State(api): State<Api>) -> Response {
    let Some(alerts) = &api.alerts else { return json(&[(); 0]) };
    match alerts.profiles().await {
        Some(profiles) => json(&profiles),
        None => stopping(),
    }
}

/// `GET`, `PUT` and `DELETE /v1/profiles/KEY`
pub fn one() -> MethodRouter<Api> {
    let put = axum::routing::put(import).layer(DefaultBodyLimit::max(LARGEST));
    let delete = async |_: Root, State(api): State<Api>, key: Named| change(&api, key, Change::Remove).await;
    get(show).merge(put).delete(delete)
}

async fn show(State(api): State<Api>, key: Named) -> Response {
    let Ok(Path(key)) = key else { return not_a_name() };
    let Some(alerts) = &api.alerts else { return unknown(&key) };
    match alerts.profile(key.clone()).await {
        Some(Some(profile)) => ([(header::CONTENT_TYPE, "application/yaml")], profile.0).into_response(),
        Some(None) => unknown(&key),
        None => stopping(),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct How {
    pin: bool,
}

async fn import(
    _: Root,
    State(api): State<Api>,
    key: Named,
    how: Result<Query<How>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match (how, body) {
        (Err(e), _) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
        (_, Err(e)) => return problem(e.status(), &e.body_text()),
        (Ok(Query(how)), Ok(body)) => String::from_utf8(body.into()).map(|text| (text, how.pin)),
    };
    match body {
        Ok((text, pin)) => change(&api, key, Change::Import(text, pin)).await,
        Err(_) => problem(StatusCode::UNPROCESSABLE_ENTITY, "the profile is not UTF-8"),
    }
}

/// `POST /v1/profiles/KEY/pin`
pub async fn pin(_: Root, State(api): State<Api>, key: Named) -> Response {
    change(&api, key, Change::Pin).await
}

/// `POST /v1/profiles/KEY/unpin`
pub async fn unpin(_: Root, State(api): State<Api>, key: Named) -> Response {
    change(&api, key, Change::Unpin).await
}

async fn change(api: &Api, key: Named, change: Change) -> Response {
    let Ok(Path(key)) = key else { return not_a_name() };
    let Some(alerts) = &api.alerts else { return switched_off() };
    match alerts.change(key.clone(), change).await {
        Some(Ok(())) => json(&object!({ "profile": key })),
        Some(Err(Refused::Unknown)) => unknown(&key),
        Some(Err(Refused::Text(why))) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
        None => stopping(),
    }
}

fn unknown(key: &str) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("no profile {key}"))
}
