//! Events and metrics to an OpenTelemetry collector: OTLP over HTTP, as protobuf. Events are pulled by cursor as by any
//! reader, and the cursor moves on once the collector has taken them: while it does not answer they wait in the daemon's
//! past, or in the history.

mod logs;
mod metrics;
mod place;
mod send;
mod settings;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};

use crate::api::Api;
use crate::worker::{Stopped, Worker};
use send::{Collector, Outcome};
pub use settings::Otlp as Settings;

/// After a failure, at first and at most.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
/// A collector may ask for more patience, but not for any.
const ASKED_MAX: Duration = Duration::from_secs(300);

/// Whether something can be sent there; if not, why.
pub fn check(endpoint: &str) -> Result<(), String> {
    settings::parse(endpoint).map(drop)
}

/// Below the state's folder.
pub fn file(state_dir: &Path) -> PathBuf {
    state_dir.join("otlp.json")
}

#[derive(Debug, Default)]
struct Figures {
    logs_up: AtomicBool,
    metrics_up: AtomicBool,
    sent: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
    gaps: AtomicU64,
    failures: AtomicU64,
}

/// How it fares, at one moment.
#[derive(Debug, Clone)]
pub struct State {
    pub up: [(&'static str, bool); 2],
    pub sent: u64,
    pub lost: [(&'static str, u64); 2],
    pub gaps: u64,
    pub failures: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Figures>);

impl Handle {
    pub fn state(&self) -> State {
        let f = &self.0;
        State {
            up: [("logs", f.logs_up.load(Relaxed)), ("metrics", f.metrics_up.load(Relaxed))],
            sent: f.sent.load(Relaxed),
            lost: [("refused", f.refused.load(Relaxed)), ("rejected", f.rejected.load(Relaxed))],
            gaps: f.gaps.load(Relaxed),
            failures: f.failures.load(Relaxed),
        }
    }
}

/// Sends until it is dropped.
pub fn start(settings: &Settings, state_dir: &Path, api: Api) -> io::Result<Option<Worker>> {
    let (Some(endpoint), Some(handle)) = (settings.endpoint.clone(), api.otlp.clone()) else {
        return Ok(None);
    };
    let (settings, place) = (settings.clone(), file(state_dir));
    let work = async move |stopped: Stopped| {
        let collector = Collector::new(endpoint, settings.token_file.clone(), settings.timeout);
        tokio::select! {
            _ = stopped => {}
            () = run(&settings, &place, &collector, &api, &handle.0) => {}
        }
    };
    Worker::start("otlp", work).map(Some)
}

async fn run(settings: &Settings, place: &Path, collector: &Collector, api: &Api, figures: &Figures) {
    let logs = async {
        match settings.logs {
            true => {
                let (hub, history) = (api.hub.clone(), api.history.clone());
                let epoch = api.kept[0].epoch.load(Relaxed);
                logs::run(collector, place, logs::From { hub, history, epoch }, figures).await;
            }
            false => std::future::pending().await,
        }
    };
    let metrics = async {
        match settings.metrics {
            true => metrics::run(collector, settings.interval, api, figures).await,
            false => std::future::pending().await,
        }
    };
    tokio::join!(logs, metrics);
}

/// Says when sending begins to fail and when it works again, and how long to wait before it is tried again.
struct Patience<'f> {
    signal: &'static str,
    up: &'f AtomicBool,
    failures: &'f AtomicU64,
    rest: Duration,
    since: Option<Instant>,
}

impl<'f> Patience<'f> {
    fn new(signal: &'static str, up: &'f AtomicBool, failures: &'f AtomicU64) -> Self {
        Self { signal, up, failures, rest: REST, since: None }
    }

    fn worked(&mut self) {
        if let Some(since) = self.since.take() {
            let took = humantime::format_duration(Duration::from_secs(since.elapsed().as_secs()));
            tracing::info!("the collector takes {} again, after {took}", self.signal);
        }
        self.up.store(true, Relaxed);
        self.rest = REST;
    }

    /// Many hosts whose collector went away must not all come back at the same moment.
    fn failed(&mut self, why: &str, asked: Option<Duration>) -> Duration {
        self.failures.fetch_add(1, Relaxed);
        self.up.store(false, Relaxed);
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!("failed to send {} to the collector: {why}; it is tried again", self.signal);
        }
        let rest = self.rest;
        self.rest = (rest * 2).min(REST_MAX);
        let spread = remora_wire::time::unix_ns() % 1000;
        let rest = rest.mul_f64(0.5 + spread as f64 / 2000.0);
        asked.map_or(rest, |asked| asked.min(ASKED_MAX).max(rest))
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Whose observations they are, and of which host; with what else is said of whom they are about.
fn resource(more: Vec<KeyValue>) -> Resource {
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let mut attributes = vec![
        text("service.name", "remora"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("host.name", host.unwrap_or_default()),
    ];
    attributes.extend(more);
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "remora".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

#[cfg(test)]
mod tests;
