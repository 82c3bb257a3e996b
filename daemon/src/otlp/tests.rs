use std::time::Duration;

use std::sync::atomic::Ordering::Relaxed;

use hyper::{StatusCode, body::Bytes};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;

use super::logs::{Entry, request};
use super::{Collector, Settings, metrics};
use crate::event::fake::publish;

fn entry(line: &str) -> Entry {
    Entry { epoch: 1, cursor: 8, unix_ns: 77, line: line.as_bytes().to_vec(), gap: false }
}

fn at<'a>(attributes: &'a [KeyValue], key: &str) -> &'a Value {
    let found =
        attributes.iter().find(|a| a.key == key).unwrap_or_else(|| panic!("no {key} in {attributes:?}"));
    found.value.as_ref().unwrap().value.as_ref().unwrap()
}

#[test]
fn an_event_is_a_record_with_the_paths_of_its_json() {
    let line = r#"{"time":"x","event":{"name":"ran","tracer":"t","cursor":8},
        "container":{"id":"c1","image":{"name":"i"}},"k8s":{"pod":{"name":"p"}},
        "process":{"pid":7,"command_args":["a","b"],"big":18446744073709551615,"share":0.5,"ok":true}}"#;
    let other = line.replace("c1", "c2");
    let request = request(vec![entry(line), entry(&other), entry(line)]);
    assert_eq!(request.resource_logs.len(), 2);
    let first = &request.resource_logs[0];
    let resource = &first.resource.as_ref().unwrap().attributes;
    let text = |t: &str| Value::StringValue(t.to_owned());
    assert_eq!(at(resource, "container.id"), &text("c1"));
    assert_eq!(at(resource, "container.image.name"), &text("i"));
    assert_eq!(at(resource, "k8s.pod.name"), &text("p"));
    assert_eq!(at(resource, "service.name"), &text("remora"));
    let records = &first.scope_logs[0].log_records;
    assert_eq!((records.len(), records[0].time_unix_nano, records[0].event_name.as_str()), (2, 77, "ran"));
    let attributes = &records[0].attributes;
    assert_eq!(at(attributes, "event.tracer"), &text("t"));
    assert_eq!(at(attributes, "process.pid"), &Value::IntValue(7));
    assert_eq!(at(attributes, "process.big"), &text("18446744073709551615"));
    assert_eq!(at(attributes, "process.share"), &Value::DoubleValue(0.5));
    assert_eq!(at(attributes, "process.ok"), &Value::BoolValue(true));
    let Value::ArrayValue(args) = at(attributes, "process.command_args") else { panic!("no array") };
    assert_eq!(args.values.len(), 2);
    assert!(
        !attributes
            .iter()
            .any(|a| a.key == "time" || a.key == "event.name" || a.key.starts_with("container"))
    );
}

#[test]
fn a_gap_is_a_record_that_warns() {
    let request = request(vec![entry(r#"{"gap":{"after":1,"to":9}}"#)]);
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((record.event_name.as_str(), record.severity_text.as_str()), ("gap", "WARN"));
    assert_eq!(at(&record.attributes, "gap.to"), &Value::IntValue(9));
    assert!(record.body.is_some());
}

#[test]
fn a_collector_says_why_by_a_status() {
    // google.rpc.Status, by hand.
    assert_eq!(super::said(Bytes::from_static(b"\x08\x03\x12\x05why\x1bm")), "why\u{1b}m");
    assert_eq!(super::said(Bytes::from_static(b"\xff")), "");
}

#[test]
fn metrics_keep_their_sums_and_buckets() {
    let text = "# HELP remora_x_seconds x\n";
    let registry = prometheus::Registry::new();
    let options = prometheus::HistogramOpts::new("remora_x_seconds", text).buckets(vec![1.0, 2.0]);
    let histogram = prometheus::HistogramVec::new(options, &["pod"]).unwrap();
    for value in [0.5, 1.5, 1.5, 9.0] {
        histogram.with_label_values(&["p"]).observe(value);
    }
    let counter =
        prometheus::IntCounterVec::new(prometheus::Opts::new("remora_y_bytes_total", "y"), &["container"])
            .unwrap();
    for i in 0..3000 {
        counter.with_label_values(&[&i.to_string()]).inc_by(i);
    }
    registry.register(Box::new(histogram)).unwrap();
    registry.register(Box::new(counter)).unwrap();
    let requests = metrics::requests(registry.gather(), 5);
    let all: Vec<_> = requests.iter().flat_map(|r| &r.resource_metrics[0].scope_metrics[0].metrics).collect();
    assert_eq!(requests.len(), 3, "2,000 points in each");
    let Some(Data::Histogram(h)) = &all[0].data else { panic!("{all:?}") };
    let point = &h.data_points[0];
    assert_eq!((point.count, point.sum, &point.bucket_counts[..]), (4, Some(12.5), &[1, 2, 1][..]));
    assert_eq!(
        (all[0].unit.as_str(), at(&point.attributes, "k8s.pod.name")),
        ("s", &Value::StringValue("p".into()))
    );
    let points = all[1..].iter().map(|m| match &m.data {
        Some(Data::Sum(sum)) if sum.is_monotonic => sum.data_points.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!((points.sum::<usize>(), all[1].unit.as_str()), (3000, "By"));
    assert!(requests.iter().all(|r| r.encoded_len() > 0));
}

/// A collector that answers as it is told, and keeps the cursors of what it took.
struct Fake {
    answers: std::sync::Mutex<Vec<u16>>,
    taken: std::sync::Mutex<Vec<i64>>,
    gaps: std::sync::atomic::AtomicUsize,
}

impl Fake {
    async fn serve(self: std::sync::Arc<Self>, listener: tokio::net::UnixListener) {
        let app = axum::Router::new().route(
            "/v1/logs",
            axum::routing::post(move |body: Bytes| async move {
                let status = self.answers.lock().unwrap().pop().unwrap_or(200);
                if status == 200 {
                    self.take(body);
                }
                StatusCode::from_u16(status).unwrap()
            }),
        );
        axum::serve(listener, app).await.unwrap();
    }

    fn take(&self, body: Bytes) {
        let request = ExportLogsServiceRequest::decode(body).unwrap();
        let records = request.resource_logs.iter().flat_map(|r| &r.scope_logs[0].log_records);
        for record in records {
            if record.event_name == "gap" {
                self.gaps.fetch_add(1, Relaxed);
                continue;
            }
            let Value::IntValue(cursor) = at(&record.attributes, "event.cursor") else { panic!("no cursor") };
            self.taken.lock().unwrap().push(*cursor);
        }
    }
}

#[tokio::test]
async fn an_outage_loses_nothing_that_is_still_there_and_says_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("otel.sock");
    let settings = Settings { timeout: Duration::from_secs(5), ..Settings::default() };
    let collector = Collector::new(&settings, format!("unix:{}", socket.display()));
    // One batch: what comes while nobody takes it is forgotten.
    let hub = crate::event::Hub::new(1);
    let (file, figures) = (dir.path().join("otlp.json"), super::Figures::default());
    let from = super::logs::From { hub: hub.clone(), history: None, epoch: 7 };
    let fake = std::sync::Arc::new(Fake {
        answers: vec![503, 429].into(),
        taken: std::sync::Mutex::default(),
        gaps: 0.into(),
    });
    let taken = || fake.taken.lock().unwrap().clone();
    let wait = async |what: &str, is: &dyn Fn() -> bool| {
        for _ in 0..1500 {
            if is() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for {what}");
    };
    let story = async {
        publish(&hub, "a", [8, 16]);
        // Nobody listens, then somebody who is busy.
        wait("a failure", &|| figures.failures.load(Relaxed) > 0).await;
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let served = tokio::spawn(fake.clone().serve(listener));
        wait("the first", &|| taken() == [8, 16]).await;
        served.abort();
        std::fs::remove_file(&socket).unwrap();
        let before = figures.failures.load(Relaxed);
        for cursor in [24, 32, 40] {
            publish(&hub, "a", [cursor]);
            wait("it to be noticed", &|| figures.failures.load(Relaxed) > before).await;
        }
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        tokio::spawn(fake.clone().serve(listener));
        // 24 was under way; 32 was forgotten, and 40 is there.
        wait("the last", &|| taken() == [8, 16, 24, 40]).await;
        assert_eq!((fake.gaps.load(Relaxed), figures.gaps.load(Relaxed)), (1, 1));
        fake.answers.lock().unwrap().push(400);
        publish(&hub, "a", [48]);
        wait("the refusal", &|| figures.refused.load(Relaxed) == 1).await;
        publish(&hub, "a", [56]);
        wait("what comes after", &|| taken().last() == Some(&56)).await;
    };
    tokio::select! {
        () = super::logs::run(&collector, &file, from, &figures) => unreachable!(),
        () = story => {}
    }
    // Who comes next goes on there.
    let kept = crate::outlet::place::Kept::read(&file).place().unwrap();
    assert_eq!((kept.epoch, kept.cursor), (7, 56));
    assert_eq!(figures.sent.load(Relaxed), 5);
}
