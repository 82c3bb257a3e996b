//! Incidents and alarms: those there are, and each as it is told.

mod follow;

use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use remora_alert::alarm::Severity;
use remora_alert::incident;
use serde::Deserialize;

use super::{Api, Named, json, not_a_name, problem};
use crate::alert::{Shown, What};
use follow::Follower;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    state: Option<incident::State>,
    /// Id, beginning of an id, or name.
    container: Option<String>,
    /// At least that.
    severity: Option<Severity>,
    /// Go on with what is to come.
    follow: bool,
}

impl Ask {
    fn wants(&self, shown: &Shown) -> bool {
        self.state.is_none_or(|state| shown.state == Some(state))
            && self.severity.is_none_or(|least| shown.severity >= least)
            && self.container.as_deref().is_none_or(|container| shown.is_of(container))
    }
}

type Asked = Result<Query<Ask>, QueryRejection>;

/// `GET /v1/alerts`
pub async fn alerts(State(api): State<Api>, headers: HeaderMap, asked: Asked) -> Response {
    let ask = match asked {
        Ok(Query(ask)) => ask,
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
    };
    let board = match api.alerts {
        Some(alerts) => alerts.board,
        None if ask.follow => return switched_off(),
        None => return json(&[(); 0]),
    };
    if ask.follow {
        return Follower::new(board, ask, &headers).answer();
    }
    let all = board.incidents();
    array(all.iter().filter(|shown| ask.wants(shown)).map(|shown| shown.brief.as_str()))
}

/// `GET /v1/alerts/ID`
pub async fn alert(State(api): State<Api>, id: Named) -> Response {
    let Ok(Path(id)) = id else { return not_a_name() };
    match api.alerts.and_then(|alerts| alerts.board.find(&id)) {
        Some(shown) => text(shown.whole.clone()),
        None => problem(StatusCode::NOT_FOUND, &format!("no incident {id}")),
    }
}

/// Likewise, without state and follow.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Which {
    container: Option<String>,
    severity: Option<Severity>,
}

/// `GET /v1/alarms`
pub async fn alarms(State(api): State<Api>, which: Result<Query<Which>, QueryRejection>) -> Response {
    let ask = match which {
        Ok(Query(Which { container, severity })) => Ask { container, severity, ..Ask::default() },
        Err(e) => return problem(StatusCode::BAD_REQUEST, &e.body_text()),
    };
    let all = api.alerts.map(|alerts| alerts.board.alarms()).unwrap_or_default();
    array(all.iter().filter(|shown| ask.wants(shown)).map(|shown| shown.whole.as_str()))
}

/// Of documents that are made already.
fn array<'a>(documents: impl Iterator<Item = &'a str>) -> Response {
    text(format!("[{}]", documents.collect::<Vec<_>>().join(",")))
}

fn text(document: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}

pub(super) fn switched_off() -> Response {
    problem(StatusCode::CONFLICT, "alerts are switched off: set alerts.enabled in the configuration")
}

/// As a member of what it is.
fn told(shown: &Shown) -> String {
    let what = match shown.what {
        What::Alarm => "alarm",
        What::Incident => "incident",
    };
    format!("{{\"{what}\":{}}}", shown.whole)
}
