//! `remora tracer`: changes while everything runs.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use hyper::{Method, body::Bytes};
use serde_json::{Map, Value};

use crate::api::client::{self, encode};
use crate::decode::text::json_document;
use crate::tracer::budget::Budget;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora tracer on file web\n  remora tracer load mine.bpf.o\n  remora tracer budget file --events 1000 --processor-percent 2"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Give a stopped tracer back to the containers that want it.
    Start { tracer: String },
    /// Take a tracer from all containers until it is started again.
    Stop { tracer: String },
    /// Load a BPF object: a new tracer, or another object for one that runs, without a gap.
    Load { file: PathBuf },
    /// Remove an object that was loaded; the one it replaced comes back.
    Remove { tracer: String },
    /// Set parameters, for all containers or for one.
    Set {
        tracer: String,
        #[arg(required = true, value_name = "NAME=VALUE")]
        params: Vec<String>,
        #[arg(long)]
        container: Option<String>,
    },
    /// Bound what a tracer may cost; 0 is no bound.
    Budget {
        tracer: String,
        /// Events a second of each container.
        #[arg(long, default_value_t = 0)]
        events: u64,
        /// Per cent of one processor.
        #[arg(long, default_value_t = 0.0)]
        processor_percent: f64,
    },
    /// Give a tracer to a container that runs.
    On {
        tracer: String,
        container: String,
        #[arg(value_name = "NAME=VALUE")]
        params: Vec<String>,
    },
    /// Take a tracer from a container.
    Off { tracer: String, container: String },
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let tracer = |name: &str| format!("/v1/tracers/{}", encode(name));
    let own = |container: &str, name: &str| {
        format!("/v1/containers/{}/tracers/{}", encode(container), encode(name))
    };
    let (method, target, body) = match args.verb {
        Verb::Start { tracer: name } => (Method::POST, tracer(&name) + "/start", Bytes::new()),
        Verb::Stop { tracer: name } => (Method::POST, tracer(&name) + "/stop", Bytes::new()),
        Verb::Load { file } => {
            let object =
                std::fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?;
            (Method::POST, "/v1/tracers".to_owned(), object.into())
        }
        Verb::Remove { tracer: name } => (Method::DELETE, tracer(&name), Bytes::new()),
        Verb::Set { tracer: name, params, container } => {
            let of = container.map_or_else(|| tracer(&name), |c| own(&c, &name));
            (Method::PATCH, of + "/params", values(&params)?.to_string().into())
        }
        Verb::Budget { tracer: name, events, processor_percent } => {
            let body = serde_json::json!(Budget { events, processor_percent });
            (Method::PUT, tracer(&name) + "/budget", body.to_string().into())
        }
        Verb::On { tracer: name, container, params } => {
            let body = serde_json::json!({ "params": values(&params)? });
            (Method::PUT, own(&container, &name), body.to_string().into())
        }
        Verb::Off { tracer: name, container } => (Method::DELETE, own(&container, &name), Bytes::new()),
    };
    let answer: Value = client::answer(&socket, method, &target, body).await?;
    println!("{}", json_document(&answer, false));
    Ok(())
}

/// A number where it is one: no text parameter looks like a number to those who have it.
fn values(params: &[String]) -> anyhow::Result<Value> {
    let mut all = Map::new();
    for param in params {
        let (name, value) = param.split_once('=').with_context(|| format!("{param:?} is not NAME=VALUE"))?;
        let value = value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from);
        all.insert(name.to_owned(), value);
    }
    Ok(Value::Object(all))
}
