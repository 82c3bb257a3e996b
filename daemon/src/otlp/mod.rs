//! Events and metrics to an OpenTelemetry collector: OTLP over HTTP, as protobuf. Events are pulled by cursor as by any
//! reader, and the cursor moves on once the collector has taken them: while it does not answer they wait in the daemon's
//! past, or in the history.

mod incidents;
mod logs;
mod metrics;
mod settings;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use prost::Message;

use crate::api::Api;
use crate::outlet::{Outcome, Patience, Post};
use crate::worker::{Stopped, Worker};
pub use settings::Otlp as Settings;

const COLLECTOR: &str = "the collector";

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
        let collector = Collector::new(&settings, endpoint);
        tokio::select! {
            _ = stopped => {}
            () = run(&settings, &place, &collector, &api, &handle.0) => {}
        }
    };
    Worker::start("otlp", work).map(Some)
}

#[derive(Debug)]
pub struct Collector(Post);

impl Collector {
    pub fn new(settings: &Settings, endpoint: String) -> Self {
        Self(Post::new(endpoint, settings.token_file.clone(), settings.timeout))
    }

    async fn post(&self, signal: &str, message: &impl Message) -> Outcome {
        let path = format!("/v1/{signal}");
        self.0.send(&path, "application/x-protobuf", message.encode_to_vec(), said).await
    }
}

impl Collector {
    /// Incidents by their JSON, as log records.
    pub async fn incidents(&self, all: impl Iterator<Item = &str>) -> Outcome {
        self.post("logs", &incidents::request(all)).await
    }
}

/// The message of a google.rpc.Status, its field 2.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

fn said(body: hyper::body::Bytes) -> String {
    Status::decode(body).map(|s| s.message).unwrap_or_default()
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
