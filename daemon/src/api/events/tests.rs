use std::collections::BTreeMap;

use super::*;
use crate::event::{Batch, Subject};
use crate::tracer::plan::{EventPlan, Layout};

const EPOCH: u64 = 77;

/// Events are published a batch at a time, cursors a hundred apart.
struct Source {
    hub: Hub,
    subject: Arc<Subject>,
    plan: Arc<EventPlan>,
    last: u64,
}

impl Source {
    fn new(limit: usize) -> Self {
        let subject = Subject {
            id: "abc".into(),
            name: "web".into(),
            image: String::new(),
            pod: None,
            json: b"\"container\":{\"name\":\"web\"}".to_vec(),
        };
        let plan = EventPlan {
            tracer: "ticks".into(),
            name: "tick".into(),
            help: String::new(),
            report: None,
            type_id: 1,
            layout: Layout::default(),
        };
        Self { hub: Hub::new(limit), subject: Arc::new(subject), plan: Arc::new(plan), last: 0 }
    }

    fn publish(&mut self, events: usize) {
        let mut batch = Batch::default();
        for _ in 0..events {
            self.last += 100;
            batch.bytes.extend([0; 32]);
            batch.push(self.last, 32, self.subject.clone(), self.plan.clone());
        }
        self.hub.publish(batch);
    }

    fn cursor(&self, query: &str, had: Option<(u64, u64)>, format: Format) -> Cursor {
        let ask: Ask = serde_json::from_str(query).unwrap();
        let filter = Filter::new(&ask).unwrap();
        let past = Past { hub: self.hub.clone(), history: None, epoch: EPOCH };
        Cursor::new(past, &ask, had, filter, format, Arc::default())
    }
}

/// What a client has had; what was not whole when it was cut off it has not had.
#[derive(Default)]
struct Client {
    last: u64,
    got: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Client {
    fn take(&mut self, bytes: &[u8], format: Format) {
        let text = std::str::from_utf8(bytes).unwrap();
        let end = if matches!(format, Format::Sse(_)) { "\n\n" } else { "\n" };
        let whole = text.rfind(end).map_or("", |at| &text[..at]);
        for piece in whole.split(end).filter(|p| !p.is_empty() && *p != ":") {
            let field = |name: &str| piece.lines().find_map(|l| l.strip_prefix(name));
            let event: serde_json::Value = serde_json::from_str(field("data: ").unwrap_or(piece)).unwrap();
            let gap = &event["gap"];
            if gap.is_object() {
                self.gaps.push((gap["after"].as_u64().unwrap(), gap["to"].as_u64().unwrap()));
                self.last = gap["to"].as_u64().unwrap();
            } else {
                self.last = event["event"]["cursor"].as_u64().unwrap();
                self.got.push(self.last);
            }
            if matches!(format, Format::Sse(_)) {
                assert_eq!(field("id: "), Some(format!("{EPOCH}-{}", self.last).as_str()));
                assert_eq!(field("event: "), gap.is_object().then_some("gap"));
            }
        }
    }
}

/// Cut off again and again while events are published, then let to read to the end.
async fn cut_off(limit: usize, format: Format) -> (Client, u64) {
    let (mut source, mut client, mut random) = (Source::new(limit), Client::default(), 7_usize);
    for _ in 0..200 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        source.publish(1 + (random >> 40) % 700);
        let mut cursor = match format {
            Format::Ndjson => {
                source.cursor(&format!("{{\"after\":{},\"follow\":true}}", client.last), None, format)
            }
            Format::Sse(_) => source.cursor("{}", Some((EPOCH, client.last)), format),
        };
        let chunk = cursor.next().await.unwrap();
        client.take(&chunk[..(random >> 20) % chunk.len()], format);
    }
    while client.last < source.last {
        let query = format!("{{\"after\":{},\"follow\":true}}", client.last);
        let chunk = source.cursor(&query, None, format).next().await.unwrap();
        client.take(&chunk, format);
    }
    (client, source.last)
}

#[tokio::test]
async fn each_event_comes_once_however_often_a_client_is_cut_off() {
    for format in [Format::Ndjson, Format::Sse(EPOCH)] {
        let (client, last) = cut_off(1 << 30, format).await;
        assert_eq!(client.gaps, []);
        assert!(client.got.iter().copied().eq((1..=last / 100).map(|n| n * 100)), "{format:?}");
    }
}

#[tokio::test]
async fn what_does_not_come_is_in_a_gap() {
    for format in [Format::Ndjson, Format::Sse(EPOCH)] {
        let (client, last) = cut_off(100 << 10, format).await;
        assert!(!client.gaps.is_empty());
        let mut times: BTreeMap<u64, usize> = (1..=last / 100).map(|n| (n * 100, 0)).collect();
        client.got.iter().for_each(|c| *times.get_mut(c).unwrap() += 1);
        for (after, to) in &client.gaps {
            times.range_mut(after + 1..=*to).for_each(|(_, n)| *n += 1);
        }
        assert!(times.values().all(|n| *n == 1), "{format:?}: {:?}", times.iter().find(|(_, n)| **n != 1));
    }
}

#[tokio::test]
async fn a_cursor_of_another_ring_is_told_where_this_one_begins() {
    let mut source = Source::new(1 << 20);
    source.publish(3);
    let mut client = Client::default();
    let mut cursor = source.cursor(r#"{"after":900000,"epoch":76,"follow":false}"#, None, Format::Ndjson);
    client.take(&cursor.next().await.unwrap(), Format::Ndjson);
    assert_eq!((client.gaps, client.got), (vec![(900_000, 0)], vec![100, 200, 300]));
    assert_eq!(cursor.next().await, None);
    // Of this one it may be ahead for a moment, after a restart.
    let mut cursor = source.cursor(r#"{"after":900000,"epoch":77,"follow":false}"#, None, Format::Ndjson);
    assert_eq!(cursor.next().await, None);
}

#[tokio::test]
async fn who_does_not_follow_gets_what_was_there_when_it_asked() {
    let mut source = Source::new(1 << 20);
    source.publish(3);
    let mut cursor = source.cursor(r#"{"replay":true}"#, None, Format::Ndjson);
    source.publish(500);
    let mut client = Client::default();
    while let Some(chunk) = cursor.next().await {
        client.take(&chunk, Format::Ndjson);
    }
    assert_eq!(client.got, [100, 200, 300]);
}

#[tokio::test]
async fn who_picks_gets_what_it_picks() {
    let mut source = Source::new(1 << 30);
    source.publish(20_000);
    let picked = async |query: &str| {
        let (mut cursor, mut client) = (source.cursor(query, None, Format::Ndjson), Client::default());
        while let Some(chunk) = cursor.next().await {
            client.take(&chunk, Format::Ndjson);
        }
        client.got.len()
    };
    assert_eq!(picked(r#"{"replay":true,"where":"event.cursor % 1000 == 0"}"#).await, 2000);
    assert_eq!(picked(r#"{"replay":true,"container":"db"}"#).await, 0);
    assert_eq!(picked(r#"{"replay":true,"tracer":"exec, ticks","event":"tick"}"#).await, 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_browser_is_told_that_the_stream_lives() {
    let source = Source::new(1 << 20);
    let mut cursor = source.cursor("{}", None, Format::Sse(EPOCH));
    assert_eq!(&cursor.next().await.unwrap()[..], b":\n\n");
}
