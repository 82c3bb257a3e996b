//! A container in scope.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::Ordering::Relaxed, time::Instant};

use super::hold::Holder;
use super::record::{Counts, Record, View};
use crate::decode::text::json_string;
use crate::event::Subject;
use crate::metrics::files::Files;
use crate::oci::Identity;
use crate::tracer::engine::Meter;

#[derive(Debug)]
pub struct Container {
    pub record: Record,
    pub subject: Arc<Subject>,
    /// Set once its end is known: what sockets still say is listened to until then.
    pub ending: Option<Instant>,
    /// Until when its last records are waited for.
    pub patience: Option<Instant>,
    /// Init has exited or poststop has run; the end follows when its cgroup is empty.
    pub winding_down: bool,
    pub files: Arc<Files>,
    /// By tracer, those who hold it on.
    pub held: BTreeMap<String, Vec<Holder>>,
    /// Watches init.
    pub watch: Option<tokio::task::AbortHandle>,
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl Container {
    pub fn new(record: Record) -> Self {
        let subject = Arc::new(subject(&record.identity));
        let files = Arc::new(Files::new(record.folders()));
        Self {
            record,
            subject,
            ending: None,
            patience: None,
            winding_down: false,
            files,
            held: BTreeMap::new(),
            watch: None,
        }
    }

    pub fn view(&self, meters: &[Meter]) -> View {
        let state = if self.ending.is_some() || self.winding_down { "ending" } else { "running" };
        let mut view = self.record.view(state);
        view.ledger.tracers = self.counts(meters);
        view
    }

    /// Brings the ledger's counts up to date.
    pub fn settle(&mut self, meters: &[Meter]) {
        self.record.ledger.tracers = self.counts(meters);
    }

    /// Whether all that the kernel counted has been read or is known to be lost.
    pub fn is_read(&self, meters: &[Meter]) -> bool {
        self.counts(meters).values().all(|c| c.counted <= c.delivered + c.lost())
    }

    fn counts(&self, meters: &[Meter]) -> BTreeMap<String, Counts> {
        let mine = |name: &&String| {
            let now = counts_at(meters, name, self.record.index)?;
            let base = self.record.base.get(*name).copied().unwrap_or_default();
            Some(((*name).clone(), now.since(&base)))
        };
        self.record.tracers.iter().filter_map(|name| mine(&name)).collect()
    }
}

/// Where a tracer's counters of a place stand.
pub fn counts_at(meters: &[Meter], tracer: &str, index: u32) -> Option<Counts> {
    let stats = &meters.iter().find(|m| m.tracer == tracer)?.stats;
    let s = stats.get(index as usize)?;
    // Delivered first: what is counted meanwhile must not look lost.
    let delivered = s.delivered.load(Relaxed);
    Some(Counts {
        delivered,
        counted: s.counted.load(Relaxed),
        lost_full: s.lost_full.load(Relaxed),
        lost_share: s.lost_share.load(Relaxed),
        lost_other: s.lost_other.load(Relaxed),
        lost_budget: s.lost_budget.load(Relaxed),
    })
}

/// Where counting begins for who gets a tracer now: the place may have had another tenant, and counters only
/// ever grow.
pub fn base_at(meters: &[Meter], tracer: &str, index: u32) -> Counts {
    let now = counts_at(meters, tracer, index).unwrap_or_default();
    Counts { delivered: now.counted.saturating_sub(now.lost()), ..now }
}

/// The members that go into each of its events; names as OpenTelemetry has them.
pub fn subject(identity: &Identity) -> Subject {
    let mut json = b"\"container\":{".to_vec();
    let mut members = vec![("id", &identity.id), ("name", &identity.name), ("runtime", &identity.runtime)];
    members.retain(|(_, value)| !value.is_empty());
    object(&mut json, &members);
    let image: Vec<_> = [("name", &identity.image_name), ("id", &identity.image_id)]
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
        .collect();
    if !image.is_empty() {
        json.extend_from_slice(b",\"image\":{");
        object(&mut json, &image);
        json.push(b'}');
    }
    json.push(b'}');
    if let Some(pod) = &identity.pod {
        json.extend_from_slice(b",\"k8s\":{\"pod\":{");
        object(&mut json, &[("name", &pod.name), ("uid", &pod.uid)]);
        if !identity.labels.is_empty() {
            let labels: Vec<_> = identity.labels.iter().map(|(name, value)| (name.as_str(), value)).collect();
            json.extend_from_slice(b",\"label\":{");
            object(&mut json, &labels);
            json.push(b'}');
        }
        json.extend_from_slice(b"},\"namespace\":{");
        object(&mut json, &[("name", &pod.namespace)]);
        json.extend_from_slice(b"}}");
    }
    Subject {
        id: identity.id.clone(),
        name: identity.name.clone(),
        image: identity.image_name.clone(),
        pod: identity.pod.as_ref().map(|pod| (pod.namespace.clone(), pod.name.clone())),
        json,
    }
}

fn object(out: &mut Vec<u8>, members: &[(&str, &String)]) {
    for (i, (key, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json_string(out, key.as_bytes());
        out.push(b':');
        json_string(out, value.as_bytes());
    }
}
