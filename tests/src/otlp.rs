//! A small OpenTelemetry collector: takes logs and metrics over HTTP as the published protocol says, and keeps them.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::ExportMetricsServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::Metric,
};
use prost::Message;

/// A log record, with what its resource says.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub event: String,
    pub unix_ns: u64,
    pub resource: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
}

impl Record {
    pub fn at(&self, key: &str) -> &str {
        let found = self.attributes.get(key).or_else(|| self.resource.get(key));
        found.map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
struct Taken {
    logs: Vec<Record>,
    metrics: Vec<Metric>,
    /// `Authorization` of each request.
    tokens: Vec<String>,
    /// To be answered next, instead of 200.
    answers: Vec<(u16, &'static str)>,
    /// So many records are said to be rejected in the next good answer.
    reject: i64,
}

/// Listens until it is dropped; what it has taken stays with its clones.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Default for Collector {
    fn default() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), Arc::default())
    }
}

impl Collector {
    pub fn new() -> Self {
        Self::default()
    }

    fn at(address: SocketAddr, taken: Arc<Mutex<Taken>>) -> Self {
        let listener = TcpListener::bind(address).expect("failed to listen");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, into) = (stop.clone(), taken.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away in the middle is none of ours.
                let _ = serve(stream, &into);
            }
        });
        Self { address, taken, stop, thread: Some(thread) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nobody listens any more.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.store(true, Ordering::Relaxed);
            let _ = TcpStream::connect(self.address);
            thread.join().expect("the collector");
        }
    }

    /// Listens again where it did.
    pub fn again(&mut self) {
        self.stop();
        *self = Self::at(self.address, self.taken.clone());
    }

    pub fn logs(&self) -> Vec<Record> {
        self.lock().logs.clone()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.lock().metrics.clone()
    }

    pub fn tokens(&self) -> Vec<String> {
        self.lock().tokens.clone()
    }

    /// Answers the next request for logs like this, with such a line of its head.
    pub fn answer(&self, status: u16, head: &'static str) {
        self.lock().answers.push((status, head));
    }

    pub fn reject(&self, records: i64) {
        self.lock().reject = records;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().expect("the collector")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(stream: TcpStream, taken: &Mutex<Taken>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut head = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((key, value)) = line.trim().split_once(':') else { break };
        head.insert(key.to_lowercase(), value.trim().to_owned());
    }
    let length = head.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    assert_eq!(head.get("content-type").map(String::as_str), Some("application/x-protobuf"), "{first}");
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut taken = taken.lock().expect("the collector");
    taken.tokens.extend(head.get("authorization").cloned());
    let (status, more, answer) = match target.as_str() {
        "/v1/logs" => match taken.answers.pop() {
            Some((status, more)) => (status, more, Vec::new()),
            None => (200, "", logs(&mut taken, &body)),
        },
        "/v1/metrics" => {
            let request = ExportMetricsServiceRequest::decode(&body[..]).expect("not what was published");
            let scopes = request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics);
            taken.metrics = scopes.flat_map(|s| s.metrics).collect();
            (200, "", Vec::new())
        }
        other => panic!("{other} was asked for"),
    };
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n{more}\r\n",
        answer.len()
    )?;
    stream.write_all(&answer)
}

fn logs(taken: &mut Taken, body: &[u8]) -> Vec<u8> {
    let request = ExportLogsServiceRequest::decode(body).expect("not what was published");
    for group in request.resource_logs {
        let resource = texts(&group.resource.unwrap_or_default().attributes);
        for record in group.scope_logs.into_iter().flat_map(|s| s.log_records) {
            taken.logs.push(Record {
                event: record.event_name,
                unix_ns: record.time_unix_nano,
                resource: resource.clone(),
                attributes: texts(&record.attributes),
            });
        }
    }
    let rejected_log_records = std::mem::take(&mut taken.reject);
    let partial = ExportLogsPartialSuccess { rejected_log_records, error_message: "too odd".into() };
    let partial_success = (rejected_log_records > 0).then_some(partial);
    ExportLogsServiceResponse { partial_success }.encode_to_vec()
}

pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|a| (a.key.clone(), a.value.as_ref().map(text).unwrap_or_default())).collect()
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(Value::ArrayValue(all)) => all.values.iter().map(text).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}
