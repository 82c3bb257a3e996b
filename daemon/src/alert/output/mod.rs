//! Told incidents to those who are not here. Each output has a queue of its own, so that one that is away holds up no other.

mod alertmanager;
mod file;
mod syslog;
mod webhook;

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::body::Bytes;
use remora_alert::incident::{Incident, State as IncidentState};
use tokio::sync::Notify;

use super::queue::{Entry, Queue, ROOM};
use super::settings::Alerts;
use crate::otlp;
use crate::outlet::{Outcome, Patience};

/// In one request.
const MOST: usize = 32;
const BYTES: usize = 512 << 10;

/// One output's queue, and how it fares.
#[derive(Debug)]
pub struct Outlet {
    name: String,
    form: fn(&Incident) -> String,
    queue: Mutex<Queue>,
    news: Notify,
    up: AtomicBool,
    sent: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone)]
pub struct State {
    pub name: String,
    pub up: bool,
    pub sent: u64,
    /// Given up: refused, or crowded out.
    pub dropped: u64,
    pub failures: u64,
    pub bytes: usize,
}

impl Outlet {
    fn open(dir: &Path, name: &str, form: fn(&Incident) -> String) -> Arc<Self> {
        let queue = Mutex::new(Queue::open(&dir.join(format!("{name}.queue")), ROOM));
        // As far as is known it works.
        let (news, up) = (Notify::new(), AtomicBool::new(true));
        let [sent, refused, failures] = Default::default();
        Arc::new(Self { name: name.to_owned(), form, queue, news, up, sent, refused, failures })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, incident: &Incident) {
        let over = incident.state == IncidentState::Over;
        self.queue().put(&incident.id, over, (self.form)(incident));
        self.news.notify_one();
    }

    /// What goes into the next request.
    fn batch(&self, most: usize) -> Vec<Entry> {
        self.queue().first(most, BYTES)
    }

    fn done(&self, batch: &[Entry]) {
        let mut queue = self.queue();
        batch.iter().for_each(|entry| queue.done(&entry.head));
    }

    fn refused(&self, batch: &[Entry], why: &str) {
        tracing::warn!("{} refused incident {}, which is lost to it: {why}", self.name, batch[0].head.id);
        self.refused.fetch_add(batch.len() as u64, Relaxed);
        self.done(batch);
    }

    fn patience(&self) -> Patience<'_> {
        Patience::new("incidents", &self.name, &self.up, &self.failures)
    }

    fn state(&self) -> State {
        let queue = self.queue();
        State {
            name: self.name.clone(),
            up: self.up.load(Relaxed),
            sent: self.sent.load(Relaxed),
            dropped: self.refused.load(Relaxed) + queue.dropped,
            failures: self.failures.load(Relaxed),
            bytes: queue.bytes(),
        }
    }
}

/// What takes incidents as they are told, one telling once.
#[derive(Debug)]
enum Receiver {
    Webhook(webhook::Webhook),
    Syslog(syslog::Syslog),
    File(file::File),
    Otlp(otlp::Collector),
}

impl Receiver {
    async fn send(&mut self, batch: &[Entry]) -> Outcome {
        match self {
            Self::Webhook(webhook) => webhook.send(batch).await,
            Self::Syslog(syslog) => syslog.send(batch).await,
            Self::File(file) => file.send(batch),
            Self::Otlp(collector) => collector.incidents(batch.iter().map(|e| e.body.as_str())).await,
        }
    }
}

/// Delivers until it is dropped.
async fn deliver(outlet: Arc<Outlet>, mut receiver: Receiver) {
    let mut patience = outlet.patience();
    let mut most = MOST;
    loop {
        let batch = outlet.batch(most);
        if batch.is_empty() {
            outlet.news.notified().await;
            continue;
        }
        match receiver.send(&batch).await {
            Outcome::Taken(_) => {
                patience.worked();
                outlet.sent.fetch_add(batch.len() as u64, Relaxed);
                outlet.done(&batch);
                most = MOST;
            }
            // Which of them is at fault is not said.
            Outcome::Refused(_) if batch.len() > 1 => most = 1,
            Outcome::Refused(why) => outlet.refused(&batch, &why),
            Outcome::Later(why, asked) => tokio::time::sleep(patience.failed(&why, asked)).await,
        }
    }
}

fn taken() -> Outcome {
    Outcome::Taken(Bytes::new())
}

/// As it is told to programs.
fn json(incident: &Incident) -> String {
    crate::decode::text::json_document(incident, false)
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Outputs(Arc<Vec<Arc<Outlet>>>);

/// What still has to be started.
#[derive(Debug)]
pub struct Starting {
    receivers: Vec<(Arc<Outlet>, Receiver)>,
    managers: Vec<(Arc<Outlet>, alertmanager::Alertmanager)>,
}

impl Outputs {
    /// Their queues are below the folder.
    pub fn open(settings: &Alerts, otlp: &otlp::Settings, dir: &Path) -> (Self, Starting) {
        let mut starting = Starting { receivers: Vec::new(), managers: Vec::new() };
        for (at, url) in settings.alertmanager.urls.iter().enumerate() {
            let name = if at == 0 { "alertmanager".to_owned() } else { format!("alertmanager-{}", at + 1) };
            let outlet = Outlet::open(dir, &name, alertmanager::form);
            starting.managers.push((outlet, alertmanager::Alertmanager::new(&settings.alertmanager, url)));
        }
        let mut add =
            |name, form, receiver| starting.receivers.push((Outlet::open(dir, name, form), receiver));
        if let Some(webhook) = webhook::Webhook::new(&settings.webhook) {
            add("webhook", json, Receiver::Webhook(webhook));
        }
        if let Some(syslog) = syslog::Syslog::new(&settings.syslog) {
            add("syslog", syslog::form, Receiver::Syslog(syslog));
        }
        if let Some(file) = file::File::new(&settings.file) {
            add("file", json, Receiver::File(file));
        }
        if let Some(endpoint) = otlp.endpoint.clone().filter(|_| otlp.logs) {
            add("otlp", json, Receiver::Otlp(otlp::Collector::new(otlp, endpoint)));
        }
        let outlets = starting.managers.iter().map(|(o, _)| o.clone());
        let outlets = outlets.chain(starting.receivers.iter().map(|(o, _)| o.clone())).collect();
        (Self(Arc::new(outlets)), starting)
    }

    pub fn tell(&self, incident: &Incident) {
        self.0.iter().for_each(|outlet| outlet.tell(incident));
    }

    pub fn states(&self) -> Vec<State> {
        self.0.iter().map(|outlet| outlet.state()).collect()
    }
}

impl Starting {
    /// Each by itself, on the runtime of who calls, and ended with it.
    pub fn start(self) {
        for (outlet, receiver) in self.receivers {
            tokio::spawn(deliver(outlet, receiver));
        }
        for (outlet, manager) in self.managers {
            tokio::spawn(manager.run(outlet));
        }
    }
}
