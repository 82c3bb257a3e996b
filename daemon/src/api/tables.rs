//! Tables of a container: which there are, and their rows.

use axum::{
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{Api, Named, is_meant, not_a_name, problem};
use crate::decode::text::json_string;
use crate::decode::value::Clock;
use crate::metrics::tables::{self, Rows};
use crate::registry::{Survey, Surveyed};
use crate::tracer::load::Table;

/// Rows in one answer, if it is not said how many.
const ROWS: usize = 10_000;
const ROWS_MAX: usize = 100_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    limit: Option<usize>,
}

/// Names and meanings of the tables that the container's tracers keep.
pub async fn list(State(api): State<Api>, wanted: Named) -> Response {
    let Ok(Path(wanted)) = wanted else { return not_a_name() };
    let found = find(&api, &wanted).await;
    let (survey, container) = match found {
        Ok(found) => found,
        Err(response) => return response,
    };
    let view = &survey.containers[container].view;
    let mine = survey.tracers.iter().filter(|t| view.tracers.contains(&t.description.name));
    let table = |tracer: &str, t: &crate::tracer::contract::TableDescription| json!({ "name": t.name, "help": t.help, "tracer": tracer, "flow": t.flow });
    let all: Vec<_> =
        mine.flat_map(|t| t.description.tables.iter().map(|d| table(&t.description.name, d))).collect();
    super::json(&all)
}

pub async fn rows(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<Ask>, QueryRejection>,
) -> Response {
    let Ok(Path((wanted, table))) = path else { return not_a_name() };
    let limit = match query {
        Ok(Query(Ask { limit: Some(limit) })) if limit > ROWS_MAX => {
            return problem(StatusCode::BAD_REQUEST, &format!("limit is {limit}, and at most {ROWS_MAX}"));
        }
        Ok(Query(ask)) => ask.limit.unwrap_or(ROWS),
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
    };
    let (survey, container) = match find(&api, &wanted).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let why = missing(&survey, &survey.containers[container], &table);
    let read = tokio::task::spawn_blocking(move || {
        let rows = read(&survey, &survey.containers[container], &table, limit);
        rows.map(|(rows, table)| (survey, rows, table))
    });
    let Ok(Some((survey, mut rows, table))) = read.await else { return problem(StatusCode::NOT_FOUND, &why) };
    let container = &survey.containers[container];
    if let Some(table) = table.filter(|t| t.stacks.is_some()) {
        rows.stacks = api.stacks.of_rows(table, container.view.cgroup_id, rows.clone()).await;
    }
    let body = document(container, &rows, limit);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The container that is meant: one that runs rather than one that ended, then the newest.
pub(super) async fn find(api: &Api, wanted: &str) -> Result<(Survey, usize), Response> {
    let Some(survey) = api.registry.survey().await else {
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"));
    };
    let meant = |c: &Surveyed| is_meant(wanted, &c.view.id, &c.view.name);
    let best = survey.containers.iter().enumerate().filter(|(_, c)| meant(c));
    let best = best.max_by_key(|(_, c)| (c.index.is_some(), c.view.ledger.observed_from.clone()));
    if let Some((i, _)) = best {
        return Ok((survey, i));
    }
    let ended = api.registry.list().await.iter().any(|c| is_meant(wanted, &c.id, &c.name));
    let why = if ended { "ended, and its tables are gone" } else { "is not known" };
    Err(problem(StatusCode::NOT_FOUND, &format!("container {wanted} {why}")))
}

/// The rows, and the table that they are in while the container is there.
fn read(survey: &Survey, container: &Surveyed, table: &str, limit: usize) -> Option<(Rows, Option<Table>)> {
    let Some(index) = container.index else {
        return Some((container.rows.iter().find(|r| r.plan.name == table)?.clone(), None));
    };
    let mut mine = survey.meters.iter().filter(|m| container.view.tracers.contains(&m.tracer));
    let (meter, table) = mine.find_map(|m| m.tables.iter().find(|t| t.plan.name == table).map(|t| (m, t)))?;
    meter.refresh();
    Some((tables::rows(table, index, limit), Some(table.clone())))
}

fn document(container: &Surveyed, rows: &Rows, limit: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut member = |key: &str, value: &str| {
        out.extend_from_slice(key.as_bytes());
        json_string(&mut out, value.as_bytes());
    };
    member("{\"table\":", &rows.plan.name);
    member(",\"tracer\":", &rows.plan.tracer);
    member(",\"container\":{\"id\":", &container.view.id);
    member(",\"name\":", &container.view.name);
    out.extend_from_slice(b"},\"rows\":");
    let whole = rows.json(&mut out, limit, Clock::now());
    out.extend_from_slice(format!(",\"truncated\":{}}}", !whole).as_bytes());
    out
}

/// Why there are no rows.
fn missing(survey: &Survey, container: &Surveyed, table: &str) -> String {
    let has = |t: &&crate::tracer::view::TracerView| t.description.tables.iter().any(|d| d.name == table);
    match survey.tracers.iter().find(has) {
        None => format!("no table {table}"),
        Some(_) if container.index.is_none() => {
            format!("container {} has ended; what its stacks say is at …/stacks", container.view.name)
        }
        Some(t) => {
            let (name, tracer) = (&container.view.name, &t.description.name);
            format!("table {table} is kept by tracer {tracer}, which container {name} does not have")
        }
    }
}
