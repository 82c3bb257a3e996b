//! Prometheus' Alertmanager, by its API of version 2: one alert for each incident, sent again and again while it is open, since
//! who is not sent again is taken for over.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use remora_alert::incident::Incident;
use remora_alert::time;
use remora_wire::time::unix_ns;
use serde_json::{Map, Value, json};

use super::{Entry, Outcome, Outlet};
use crate::alert::queue::Head;
use crate::alert::settings;
use crate::alert::subject::Names;
use crate::decode::text::printable;
use crate::outlet::{Patience, Post, http};

/// How often what is open is sent again.
const AGAIN: Duration = Duration::from_secs(60);
/// What was not sent again for so long is over, should the daemon be gone.
const LIFE: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_millis(50);
const PATH: &str = "/api/v2/alerts";
/// In one request.
const MOST: usize = 64;
/// Longest values, in characters.
const LABEL: usize = 256;
const TEXT: usize = 4000;

#[derive(Debug)]
pub struct Alertmanager {
    post: Post,
    hold: Duration,
    /// By incident.
    fired: HashMap<String, Fired>,
}

/// What an incident is there.
#[derive(Debug)]
struct Fired {
    since: Instant,
    labels: Value,
}

pub fn form(incident: &Incident) -> String {
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let names = Names::of(incident);
    let rule = incident.rules.first().map_or("", String::as_str);
    let labels = members(
        LABEL,
        &[
            ("alertname", "RemoraIncident"),
            ("incident", &incident.id),
            ("severity", incident.severity.name()),
            ("rule", rule),
            ("image", &incident.image),
            ("workload", &incident.workload),
            ("namespace", &names.namespace),
            ("pod", &names.pod),
            ("container", &names.container),
            ("instance", &host.unwrap_or_default()),
        ],
    );
    let annotations = members(
        TEXT,
        &[
            ("summary", &incident.title),
            ("description", &incident.text),
            ("rules", &incident.rules.join(", ")),
            ("tags", &incident.tags.join(", ")),
            ("score", &incident.score.to_string()),
            ("count", &incident.alarms_total.to_string()),
            ("complete", &incident.ledger.complete.to_string()),
            ("lost", &incident.ledger.lost.to_string()),
        ],
    );
    let mut alert = json!({ "labels": labels, "annotations": annotations, "startsAt": incident.first });
    if let Some(over) = &incident.over {
        alert["endsAt"] = over.as_str().into();
    }
    alert.to_string()
}

/// Without those that are empty, which are none there.
fn members(longest: usize, all: &[(&str, &str)]) -> Map<String, Value> {
    let value = |text: &str| printable(text).chars().take(longest).collect::<String>();
    all.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| ((*k).to_owned(), value(v).into())).collect()
}

impl Alertmanager {
    pub fn new(settings: &settings::Alertmanager, url: &str) -> Self {
        let post = Post::new(url.to_owned(), settings.token_file.clone(), settings.timeout);
        Self { post, hold: settings.hold, fired: HashMap::new() }
    }

    /// Sends until it is dropped.
    pub async fn run(mut self, outlet: Arc<Outlet>) {
        let mut patience = outlet.patience();
        loop {
            let rest = self.send(&outlet, &mut patience).await;
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // While it does not answer, it is not asked for each more.
                () = outlet.news.notified(), if outlet.up.load(Relaxed) => {}
            }
        }
    }

    /// All that fires or is to end; how long there is nothing more to do.
    async fn send(&mut self, outlet: &Outlet, patience: &mut Patience<'_>) -> Duration {
        let all = outlet.queue().heads();
        self.fired.retain(|id, _| all.iter().any(|head| head.id == *id));
        let mut chunks: VecDeque<&[Head]> = all.chunks(MOST).collect();
        // One that there is nothing for is asked whether it is there.
        chunks.extend(all.is_empty().then_some(&[][..]));
        while let Some(heads) = chunks.pop_front() {
            let chunk = outlet.queue().of(heads);
            let alerts: Vec<Value> = chunk.iter().flat_map(|entry| self.alerts(entry)).collect();
            let body = Value::from(alerts).to_string();
            match self.post.send(PATH, "application/json", body.into_bytes(), http::plain).await {
                Outcome::Taken(_) => {
                    patience.worked();
                    self.taken(outlet, &chunk);
                }
                // Which of them is at fault is not said for sure.
                Outcome::Refused(_) if chunk.len() > 1 => chunks.extend(heads.chunks(1)),
                Outcome::Refused(why) if chunk.is_empty() => return patience.failed(&why, None),
                Outcome::Refused(why) => outlet.refused(&chunk, &why),
                Outcome::Later(why, asked) => return patience.failed(&why, asked),
            }
        }
        let held = |head: &Head| Some(self.hold.saturating_sub(self.fired.get(&head.id)?.since.elapsed()));
        let next = all.iter().filter(|head| head.over).filter_map(held).min();
        next.unwrap_or(AGAIN).clamp(SOON, AGAIN)
    }

    /// As it is now; and, where its labels were others, an end to what it was.
    fn alerts(&self, entry: &Entry) -> Vec<Value> {
        let Ok(mut alert) = serde_json::from_str::<Value>(&entry.body) else { return Vec::new() };
        let mut all = Vec::new();
        if let Some(before) = self.fired.get(&entry.head.id).filter(|f| f.labels != alert["labels"]) {
            let now = time::format(unix_ns());
            all.push(json!({ "labels": before.labels, "startsAt": alert["startsAt"], "endsAt": now }));
        }
        if !self.may_end(&entry.head) {
            alert["endsAt"] = time::format(unix_ns() + LIFE.as_nanos() as u64).into();
        }
        all.push(alert);
        all
    }

    /// What is over ends once it was seen.
    fn may_end(&self, head: &Head) -> bool {
        head.over && self.fired.get(&head.id).is_some_and(|fired| fired.since.elapsed() >= self.hold)
    }

    fn taken(&mut self, outlet: &Outlet, chunk: &[Entry]) {
        for entry in chunk {
            if self.may_end(&entry.head) {
                outlet.done(std::slice::from_ref(entry));
                self.fired.remove(&entry.head.id);
                outlet.sent.fetch_add(1, Relaxed);
                continue;
            }
            let labels = serde_json::from_str::<Value>(&entry.body).map(|mut a| a["labels"].take());
            let labels = labels.unwrap_or_default();
            let new = || {
                outlet.sent.fetch_add(1, Relaxed);
                Fired { since: Instant::now(), labels: Value::Null }
            };
            self.fired.entry(entry.head.id.clone()).or_insert_with(new).labels = labels;
        }
    }
}
