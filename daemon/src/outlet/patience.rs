//! How long to wait before it is tried again.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// After a failure, at first and at most.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
/// Who listens may ask for more patience, but not for any.
const ASKED_MAX: Duration = Duration::from_secs(300);

/// Says when sending begins to fail and when it works again, and how long to wait before it is tried again.
#[derive(Debug)]
pub struct Patience<'f> {
    what: &'f str,
    /// Whom it is sent to.
    whom: &'f str,
    up: &'f AtomicBool,
    failures: &'f AtomicU64,
    rest: Duration,
    since: Option<Instant>,
}

impl<'f> Patience<'f> {
    pub fn new(what: &'f str, whom: &'f str, up: &'f AtomicBool, failures: &'f AtomicU64) -> Self {
        Self { what, whom, up, failures, rest: REST, since: None }
    }

    pub fn worked(&mut self) {
        if let Some(since) = self.since.take() {
            let took = humantime::format_duration(Duration::from_secs(since.elapsed().as_secs()));
            tracing::info!("{} takes {} again, after {took}", self.whom, self.what);
        }
        self.up.store(true, Relaxed);
        self.rest = REST;
    }

    /// Many hosts whose receiver went away must not all come back at the same moment.
    pub fn failed(&mut self, why: &str, asked: Option<Duration>) -> Duration {
        self.failures.fetch_add(1, Relaxed);
        self.up.store(false, Relaxed);
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!("failed to send {} to {}: {why}; it is tried again", self.what, self.whom);
        }
        let rest = self.rest;
        self.rest = (rest * 2).min(REST_MAX);
        let spread = remora_wire::time::unix_ns() % 1000;
        let rest = rest.mul_f64(0.5 + spread as f64 / 2000.0);
        asked.map_or(rest, |asked| asked.min(ASKED_MAX).max(rest))
    }
}
