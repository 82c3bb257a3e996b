//! How the daemon does, at one look.

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

use super::{Api, problem};
use crate::registry::record::Counts;

pub async fn status(State(api): State<Api>) -> Response {
    let Some(survey) = api.registry.survey().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
    };
    let all = api.registry.list().await;
    let mut events = Counts::default();
    all.iter().flat_map(|c| c.ledger.tracers.values()).for_each(|counts| events.add(counts));
    let gauges = api.gauges();
    super::json(&json!({
        "version": api.version(),
        "containers": tally(all.iter().map(|c| c.state.as_str())),
        "tracers": tally(survey.tracers.iter().map(|t| t.state)),
        "managers": gauges.managers.iter().copied().collect::<BTreeMap<_, _>>(),
        "events": events,
        "ring": { "used_bytes": gauges.ring_used, "bytes": gauges.ring_bytes },
        "history": { "used_bytes": gauges.history_bytes, "bytes": gauges.history_limit },
    }))
}

fn tally<'a>(states: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut out = BTreeMap::new();
    states.for_each(|state| *out.entry(state).or_default() += 1);
    out
}
