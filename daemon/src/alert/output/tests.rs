use std::{
    io::Read,
    os::unix::net::UnixDatagram,
    path::Path,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State as Shared, http::StatusCode, routing::post};
use remora_alert::alarm::Severity;
use serde_json::Value;
use tokio::net::UnixListener;

use super::*;
use crate::alert::board::tests::incident;

const OPEN: IncidentState = IncidentState::Open;
const OVER: IncidentState = IncidentState::Over;

/// Who takes what is posted, and answers as it is told.
#[derive(Debug, Clone, Default)]
struct Fake {
    answers: Arc<Mutex<Vec<u16>>>,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Fake {
    fn listen(&self, socket: &Path, target: &str) {
        let take = async |Shared(fake): Shared<Self>, Json(body): Json<Vec<Value>>| {
            let status = fake.answers.lock().unwrap().pop().unwrap_or(200);
            if status == 200 {
                fake.taken.lock().unwrap().extend(body);
            }
            StatusCode::from_u16(status).unwrap()
        };
        let app = Router::new().route(target, post(take)).with_state(self.clone());
        let listener = UnixListener::bind(socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

async fn wait(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

fn open(dir: &Path, change: impl FnOnce(&mut Alerts)) -> Outputs {
    let mut settings = Alerts::default();
    settings.alertmanager.hold = Duration::from_millis(300);
    change(&mut settings);
    let (outputs, starting) = Outputs::open(&settings, &otlp::Settings::default(), dir);
    starting.start();
    outputs
}

fn unix(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

#[tokio::test]
async fn alertmanager_is_told_what_fires_and_what_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, fake) = (dir.path().join("am.sock"), Fake::default());
    fake.listen(&socket, "/api/v2/alerts");
    let outputs = open(dir.path(), |s| s.alertmanager.urls = vec![unix(&socket)]);
    outputs.tell(&incident("i-1", OPEN, Severity::High));
    wait("the alert", || !fake.taken().is_empty()).await;
    outputs.tell(&incident("i-1", OPEN, Severity::Critical));
    // What it was is over there, since its labels were others.
    let critical = |alert: &Value| alert["labels"]["severity"] == "critical";
    wait("what it is now", || fake.taken().iter().any(critical)).await;
    outputs.tell(&incident("i-1", OVER, Severity::Critical));
    wait("its end", || outputs.states()[0].bytes == 0).await;
    let taken = fake.taken();
    let at = taken.iter().position(critical).unwrap();
    let (first, before, after) = (&taken[0], &taken[at - 1], &taken[at]);
    assert_eq!(first["labels"]["severity"], "high");
    for (label, value) in [
        ("alertname", "RemoraIncident"),
        ("incident", "i-1"),
        ("rule", "from-memory"),
        ("image", "shop"),
        ("workload", "prod/web-0"),
        ("namespace", "prod"),
        ("pod", "web-0"),
        ("container", "web"),
    ] {
        assert_eq!(first["labels"][label], value, "{label}");
    }
    assert_eq!(first["annotations"]["summary"], "In web, sh was executed \\u{202e}from memory");
    assert_eq!((&before["labels"], before["annotations"].is_null()), (&first["labels"], true));
    assert_eq!(after["labels"]["severity"], "critical");
    let end = |alert: &Value| remora_alert::time::parse(alert["endsAt"].as_str().unwrap()).unwrap();
    let now = remora_wire::time::unix_ns();
    assert!(end(first) > now + 200_000_000_000 && end(before) <= now);
    assert!(end(taken.last().unwrap()) < now, "{:?}", taken.last());
    let state = &outputs.states()[0];
    assert_eq!((state.name.as_str(), state.up, state.sent, state.dropped), ("alertmanager", true, 2, 0));
}

#[tokio::test]
async fn what_was_over_before_it_was_seen_fires_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, fake) = (dir.path().join("am.sock"), Fake::default());
    let outputs = open(dir.path(), |s| s.alertmanager.urls = vec![unix(&socket)]);
    outputs.tell(&incident("i-1", OPEN, Severity::High));
    outputs.tell(&incident("i-1", OVER, Severity::High));
    wait("a failure", || !outputs.states()[0].up).await;
    let begun = Instant::now();
    fake.listen(&socket, "/api/v2/alerts");
    wait("its end", || outputs.states()[0].bytes == 0).await;
    let ends: Vec<bool> =
        fake.taken().iter().map(|a| a["endsAt"] == "2026-01-01T00:15:01.000000000Z").collect();
    assert!(ends.len() >= 2 && !ends[0] && ends[ends.len() - 1], "{ends:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_webhook_gets_each_telling_and_what_it_refuses_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, fake) = (dir.path().join("hook.sock"), Fake::default());
    fake.answers.lock().unwrap().extend([400, 400, 503]);
    fake.listen(&socket, "/");
    let outputs = open(dir.path(), |s| s.webhook.url = Some(unix(&socket)));
    for id in ["i-1", "i-2", "i-3"] {
        outputs.tell(&incident(id, OPEN, Severity::High));
    }
    // One answer is that it is busy; then all are refused together, and the first alone.
    wait("all", || outputs.states()[0].bytes == 0).await;
    let ids: Vec<Value> = fake.taken().iter().map(|i| i["id"].clone()).collect();
    assert_eq!(ids, ["i-2", "i-3"]);
    let state = &outputs.states()[0];
    assert_eq!((state.sent, state.dropped, state.failures, state.up), (2, 1, 1, true));
}

#[tokio::test]
async fn what_waits_is_sent_by_the_next_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, fake) = (dir.path().join("hook.sock"), Fake::default());
    let outputs = open(dir.path(), |s| s.webhook.url = Some(unix(&socket)));
    outputs.tell(&incident("i-1", OPEN, Severity::High));
    wait("a failure", || outputs.states()[0].failures > 0).await;
    fake.listen(&socket, "/");
    let again = open(dir.path(), |s| s.webhook.url = Some(unix(&socket)));
    wait("it", || again.states()[0].sent == 1).await;
    assert_eq!(fake.taken()[0]["id"], "i-1");
}

#[tokio::test]
async fn syslog_has_a_line_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = format!("tcp://{}", listener.local_addr().unwrap());
    let outputs = open(dir.path(), |s| s.syslog.address = Some(unix(&path)));
    let mut hostile = incident("i-1", OPEN, Severity::High);
    hostile.image = "a\"b]c\\d\u{1b}[31m".to_owned();
    hostile.text = "é".repeat(9000);
    outputs.tell(&hostile);
    let mut line = vec![0; 20_000];
    let n = tokio::task::spawn_blocking(move || socket.recv(&mut line).map(|n| line[..n].to_vec()));
    let line = String::from_utf8(n.await.unwrap().unwrap()).unwrap();
    assert!(line.starts_with("<83>1 2026-01-01T00:00:01.123456Z "), "{line}");
    assert!(
        line.contains(" incident [remora@32473 id=\"i-1\" state=\"open\" severity=\"high\" score=\"12.5\" ")
    );
    assert!(
        line.contains("image=\"a\\\"b\\]c\\\\d\\\\u{1b\\]")
            || line.contains("image=\"a\\\"b\\]c\\\\d\\\\u{1b}[31m\""),
        "{line}"
    );
    assert!(
        line.contains("] In web, sh was executed \\u{202e}from memory: é") && line.len() <= 8000,
        "{line}"
    );
    // Over TCP each has its length before it.
    let dir = tempfile::tempdir().unwrap();
    let outputs = open(dir.path(), |s| s.syslog.address = Some(tcp));
    outputs.tell(&incident("i-2", OVER, Severity::Low));
    let (stream, _) = listener.accept().await.unwrap();
    wait("it to be sent", || outputs.states()[0].sent == 1).await;
    let mut got = vec![0; 20_000];
    let n = stream.try_read(&mut got).unwrap();
    let text = String::from_utf8_lossy(&got[..n]).into_owned();
    let (length, line) = text.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), line.len());
    assert!(line.starts_with("<85>1 ") && line.contains("state=\"over\""), "{line}");
}

#[tokio::test]
async fn a_file_has_a_line_for_each_and_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("incidents.ndjson");
    std::fs::write(&path, "{\"id\":\"i-0\"}\n{\"cut").unwrap();
    let outputs = open(dir.path(), |s| (s.file.path, s.file.max_bytes) = (Some(path.clone()), 3000));
    for i in 1..=5 {
        outputs.tell(&incident(&format!("i-{i}"), OPEN, Severity::High));
        wait("it", || outputs.states()[0].sent == i).await;
    }
    let (mut text, mut old) = (String::new(), String::new());
    std::fs::File::open(&path).unwrap().read_to_string(&mut text).unwrap();
    std::fs::File::open(dir.path().join("incidents.ndjson.1")).unwrap().read_to_string(&mut old).unwrap();
    let ids = |text: &str| -> Vec<String> {
        let parse = |l: &str| serde_json::from_str::<Value>(l).unwrap()["id"].as_str().unwrap().to_owned();
        text.lines().map(parse).collect()
    };
    assert_eq!([ids(&old), ids(&text)].concat(), ["i-0", "i-1", "i-2", "i-3", "i-4", "i-5"]);
}
