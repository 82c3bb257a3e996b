//! `remora events`

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::{Format, table};
use crate::api::client;
use crate::decode::text::printable;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora events --container web\n  remora events --replay --tracer exec --format csv\n  remora events --since 1h --container web\n  remora events --where 'exit.code != 0'\n  remora events --image '*/nginx:*' --where 'process.executable.path.startsWith(\"/tmp/\")'"
)]
pub struct Args {
    /// Begin with the recent past; without --follow, end with it.
    #[arg(long)]
    replay: bool,
    /// Go on with what is to come, also when the daemon restarts.
    #[arg(short, long)]
    follow: bool,
    /// Begin at this time (2026-01-31T12:00:00Z), or so long ago (1h 30m), with the history if there is one.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["replay", "after"])]
    since: Option<String>,
    /// End at this time, or so long ago.
    #[arg(long, value_name = "TIME", requires = "since", conflicts_with = "follow")]
    until: Option<String>,
    /// Begin behind this cursor.
    #[arg(long, value_name = "CURSOR")]
    after: Option<u64>,
    /// Id, beginning of an id, or name.
    #[arg(long)]
    container: Option<String>,
    /// Name of a pod, or namespace/name.
    #[arg(long)]
    pod: Option<String>,
    /// Pattern of an image's name.
    #[arg(long, value_name = "PATTERN")]
    image: Option<String>,
    /// Comma list of tracers.
    #[arg(long, value_name = "LIST")]
    tracer: Option<String>,
    /// Comma list of events.
    #[arg(long, value_name = "LIST")]
    event: Option<String>,
    /// An expression over the event's fields, in the Common Expression Language (CEL).
    #[arg(long = "where", value_name = "EXPRESSION")]
    expression: Option<String>,
    /// End after this many events.
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    let follow = args.follow || !args.replay && args.since.is_none();
    let target = target(&args, follow);
    let mut printer = Printer::new(args.format, args.count, &socket).await?;
    printer.dated = args.since.is_some();
    if follow && args.after.is_none() && args.since.is_none() {
        // A place to go on from, should the daemon restart before there is an event.
        let known: Value = client::json(&socket, "/v1/version").await?;
        let cursor = &known[if args.replay { "oldest_cursor" } else { "newest_cursor" }];
        printer.last = Some(format!("{}-{cursor}", known["epoch"]));
    }
    loop {
        let result = pass(&socket, &target, &mut printer).await;
        if printer.left == Some(0) || !follow || result.as_ref().is_err_and(super::broken_pipe) {
            return result;
        }
        // The daemon restarts: go on behind the last event as soon as it is back.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn pass(socket: &Path, target: &str, printer: &mut Printer) -> anyhow::Result<()> {
    let events = client::events(socket, target, printer.last.as_deref()).await?;
    printer.drain(events).await
}

fn target(args: &Args, follow: bool) -> String {
    let mut target = format!("/v1/events?replay={}&follow={follow}", args.replay);
    if let Some(after) = args.after {
        target += &format!("&after={after}");
    }
    let texts = [
        ("since", &args.since),
        ("until", &args.until),
        ("container", &args.container),
        ("pod", &args.pod),
        ("image", &args.image),
        ("tracer", &args.tracer),
        ("event", &args.event),
        ("where", &args.expression),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            target += &format!("&{key}={}", client::encode(value));
        }
    }
    target
}

/// All paths that an event may have, so that one head fits every line.
async fn columns(socket: &Path) -> anyhow::Result<Vec<String>> {
    let tracers: Vec<Value> = client::json(socket, "/v1/tracers").await?;
    let common = [
        "time",
        "event.name",
        "event.tracer",
        "event.cursor",
        "container.id",
        "container.name",
        "container.runtime",
        "container.image.name",
        "container.image.id",
        "k8s.namespace.name",
        "k8s.pod.name",
        "k8s.pod.uid",
    ];
    let fields = tracers.iter().flat_map(|t| t["events"].as_array().into_iter().flatten());
    let fields = fields.flat_map(|e| e["fields"].as_array().into_iter().flatten());
    let fields: BTreeSet<String> = fields.filter_map(|f| f["name"].as_str()).map(str::to_owned).collect();
    Ok(common.iter().map(|c| (*c).to_owned()).chain(fields).collect())
}

/// Writes events as they come.
pub struct Printer {
    format: Format,
    columns: Vec<String>,
    /// How many more are wanted.
    pub left: Option<u64>,
    pub printed: u64,
    /// The id of the last one: what to go on behind.
    last: Option<String>,
    /// Of the one that comes.
    id: Option<String>,
    /// What is of other days says so.
    dated: bool,
}

impl Printer {
    pub async fn new(format: Format, count: Option<u64>, socket: &Path) -> anyhow::Result<Self> {
        let columns = if format == Format::Csv { columns(socket).await? } else { Vec::new() };
        let printer = Self { format, columns, left: count, printed: 0, last: None, id: None, dated: false };
        printer.head()?;
        Ok(printer)
    }

    /// Prints what a stream of server-sent events has until it ends, or there were enough.
    pub async fn drain(&mut self, mut body: Incoming) -> anyhow::Result<()> {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the daemon ended the stream")?.into_data() else { continue };
            rest.extend_from_slice(&data);
            let whole = rest.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            for line in rest[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                self.line(line)?;
                if self.left == Some(0) {
                    return Ok(());
                }
            }
            rest.drain(..whole);
            io::stdout().flush()?;
        }
        Ok(())
    }

    fn head(&self) -> io::Result<()> {
        match self.format {
            Format::Csv => writeln!(io::stdout(), "{}", self.columns.join(",")),
            _ => Ok(()),
        }
    }

    /// An event's id comes before what it says.
    fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        if let Some(id) = line.strip_prefix(b"id: ") {
            self.id = Some(String::from_utf8_lossy(id).into_owned());
        } else if let Some(event) = line.strip_prefix(b"data: ") {
            self.event(event)?;
            self.last = self.id.take().or(self.last.take());
        }
        Ok(())
    }

    fn event(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let event: Value = serde_json::from_slice(line).context("failed to read an event")?;
        if let Some(gap) = event.get("gap") {
            eprintln!(
                "remora: events are missing here: they were forgotten before they could be read ({gap})"
            );
        } else {
            self.left = self.left.map(|n| n.saturating_sub(1));
            self.printed += 1;
        }
        let mut out = io::stdout().lock();
        match self.format {
            Format::Json => {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
            Format::Csv => {
                let cell = |path: &String| csv_cell(&at(&event, path));
                writeln!(out, "{}", self.columns.iter().map(cell).collect::<Vec<_>>().join(","))?;
            }
            Format::Table => writeln!(out, "{}", table::cut(&row(&event, self.dated), table::width()))?,
        }
        Ok(())
    }
}

/// The value at a dotted path as text.
pub fn at(event: &Value, path: &str) -> String {
    let value = path.split('.').try_fold(event, |v, key| v.get(key));
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(all)) => all.iter().map(plain).collect::<Vec<_>>().join(" "),
        Some(other) => other.to_string(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// RFC 4180, control characters escaped, and nothing that a spreadsheet would take for a formula.
pub fn csv_cell(text: &str) -> String {
    let text = printable(text);
    let text = if text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() {
        format!("'{text}")
    } else {
        text
    };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Time, container, event, process, then what the event says.
pub fn row(event: &Value, dated: bool) -> String {
    let name = at(event, "event.name");
    let (skip, take) = if dated { (5, 18) } else { (11, 12) };
    let time: String = at(event, "time").chars().skip(skip).take(take).collect::<String>().replace('T', " ");
    let mut text = format!(
        "{time}  {:16} {:9} {:>7} {:15}",
        printable(&at(event, "container.name")),
        name,
        at(event, "process.pid"),
        printable(&at(event, "process.comm")),
    );
    let mut rest = Vec::new();
    for path in ["process.executable.path", "process.command_args"] {
        let value = at(event, path);
        if !value.is_empty() {
            rest.push(printable(&value));
        }
    }
    let told = ["time", "event", "container", "k8s", "process"];
    for (key, value) in event.as_object().into_iter().flatten().filter(|(k, _)| !told.contains(&k.as_str())) {
        flatten(Some(value), if *key == name { "" } else { key }, &mut rest);
    }
    text += &format!(" {}", rest.join(" "));
    text
}

fn flatten(value: Option<&Value>, path: &str, out: &mut Vec<String>) {
    for (key, value) in value.and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if value.is_object() {
            flatten(Some(value), &path, out);
        } else {
            let text = printable(&plain(value));
            out.push(if text.contains(' ') { format!("{path}={text:?}") } else { format!("{path}={text}") });
        }
    }
}
