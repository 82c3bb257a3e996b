//! All series, as Prometheus and others read them.

use std::sync::atomic::Ordering::Relaxed;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus::proto::MetricFamily;

use super::{Api, Asked, problem, topology};
use crate::history;
use crate::metrics::{self, Format, Gauges};
use crate::otlp;
use crate::scope::abi::Container;

pub async fn serve(State(api): State<Api>, asked: Asked, headers: HeaderMap) -> Response {
    match api.heed(asked).await {
        Ok(()) => render(&api, &headers).await,
        Err(response) => response,
    }
}

pub async fn render(api: &Api, headers: &HeaderMap) -> Response {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let format = Format::wanted(&accept.join(","));
    let Some(text) = api.metrics(move |families| format.encode(&families)).await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
    };
    ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept")], text).into_response()
}

impl Api {
    /// What is made of all series, on a thread that may take its time; None: the daemon is stopping.
    pub async fn metrics<T: Send + 'static>(
        &self,
        made: impl FnOnce(Vec<MetricFamily>) -> T + Send + 'static,
    ) -> Option<T> {
        let survey = self.registry.survey().await?;
        let past = if self.map_in_metrics { Some(topology::past(self).await) } else { None };
        let api = self.clone();
        let make = move || {
            let network = past.map(|past| topology::outline(&survey, &past));
            made(metrics::families(&survey, &api.gauges(), network.as_ref()))
        };
        tokio::task::spawn_blocking(make).await.ok()
    }

    pub(super) fn gauges(&self) -> Gauges {
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
            slow: self.counts.slow.load(Relaxed),
            busy: self.counts.busy.load(Relaxed),
            foreign: self.counts.foreign.load(Relaxed),
            gaps: self.counts.gaps.load(Relaxed),
            otlp: self.otlp.as_ref().map(otlp::Handle::state),
            alerts: self
                .alerts
                .as_ref()
                .map(|alerts| metrics::Alerts { figures: alerts.board.figures(), outputs: alerts.outputs() }),
            history: self.history.as_ref().map(history::Handle::state),
        }
    }
}
