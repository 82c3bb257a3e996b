//! The network map: what the containers' tables of flows say together.

use std::net::IpAddr;

use axum::{extract::State, http::StatusCode, response::Response};
use nix::sys::socket::SockaddrStorage;
use remora_wire::Namespaces;

use super::{Api, problem};
use crate::decode::value::Clock;
use crate::metrics::tables::{self, Rows};
use crate::registry::{Survey, Surveyed, record::View};
use crate::topology::{Ended, Flow, Outline, Party, Past, Topology, join};
use crate::tracer::{engine::Meter, load::Table};

/// Rows looked at of one container.
const ROWS: usize = 8192;

pub async fn map(State(api): State<Api>) -> Response {
    let Some(survey) = api.registry.survey().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
    };
    let past = past(&api).await;
    match tokio::task::spawn_blocking(move || draw(&survey, &past)).await {
        Ok(topology) => super::json(&topology),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "drawing the map ended early"),
    }
}

/// Who had an address before, and which is the host's.
pub(super) async fn past(api: &Api) -> Past {
    let of = |view: View| Some(Ended { network: view.namespaces.net, at: view.ledger.observed_to? });
    let ended = api.registry.list().await.into_iter().filter_map(of).collect();
    Past { host: Namespaces::of(1).net, ended }
}

/// Without addresses.
pub(super) fn outline(survey: &Survey, past: &Past) -> Outline {
    let own = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|i| i.address);
    let address = |a: SockaddrStorage| match (a.as_sockaddr_in(), a.as_sockaddr_in6()) {
        (Some(a), _) => Some(IpAddr::V4(a.ip())),
        (_, Some(a)) => Some(IpAddr::V6(a.ip())),
        _ => None,
    };
    Outline::of(&draw(survey, past), &own.filter_map(address).collect::<Vec<_>>())
}

/// Of the containers that are there, by the tables whose rows say who talks to whom.
fn draw(survey: &Survey, past: &Past) -> Topology {
    let meters = survey.meters.iter();
    let sources: Vec<(&Meter, Vec<&Table>)> = meters
        .map(|m| (m, m.tables.iter().filter(|t| t.plan.flow).collect::<Vec<_>>()))
        .filter(|(_, t)| !t.is_empty())
        .collect();
    let places: Vec<u32> = survey.containers.iter().filter_map(|c| c.index).collect();
    let mut read = Vec::new();
    for (meter, tables) in sources {
        meter.refresh();
        read.extend(tables.into_iter().map(|t| (meter, t, tables::rows_of_all(t, &places, ROWS))));
    }
    let mut truncated = false;
    let mut parties = Vec::new();
    for container in &survey.containers {
        let Some(index) = container.index else { continue };
        let mine = read.iter().filter(|(meter, ..)| container.view.tracers.contains(&meter.tracer));
        let mine: Vec<_> = mine.map(|(_, table, rows)| (table, rows.get(&index))).collect();
        let seen = mine.iter().filter_map(|(table, rows)| Some((table, (*rows)?)));
        let flows = seen.flat_map(|(table, rows)| flows(table, rows, &mut truncated)).collect();
        parties.push(party(container, (!mine.is_empty()).then_some(flows)));
    }
    Topology { truncated, ..join(parties, past) }
}

fn flows(table: &Table, rows: &Rows, truncated: &mut bool) -> Vec<Flow> {
    let mut text = Vec::new();
    *truncated |= !rows.json(&mut text, ROWS, Clock::now());
    let name = &table.plan.name;
    Flow::read(name, &text).unwrap_or_else(|e| {
        tracing::warn!("the rows of table {name} cannot be read as flows: {e}");
        Vec::new()
    })
}

fn party(container: &Surveyed, flows: Option<Vec<Flow>>) -> Party {
    let view = &container.view;
    let pod = view.identity.pod.as_ref();
    Party {
        id: view.id.clone(),
        name: view.name.clone(),
        pod: pod.map(|p| p.name.clone()),
        namespace: pod.map(|p| p.namespace.clone()),
        network: view.namespaces.net,
        flows,
    }
}
