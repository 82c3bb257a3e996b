//! What the reader needs to understand records: whose cgroup, which tracer's event. Written by registry and
//! engine, read once per batch; a reader works on a snapshot, so no lock is held while it decodes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::event::Subject;
use crate::scope::{abi::Stats, mapped::Mapped};
use crate::tracer::plan::EventPlan;

/// One loaded object's event types, and where its deliveries are counted.
#[derive(Debug, Clone)]
pub struct Decoder {
    pub events: Arc<HashMap<u32, Arc<EventPlan>>>,
    pub stats: Arc<Mapped<Stats>>,
}

#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By cgroup id of the container.
    pub subjects: HashMap<u64, Arc<Subject>>,
    /// By `head.tracer`.
    pub decoders: HashMap<u32, Decoder>,
}

#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<Mutex<Arc<Snapshot>>>);

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Arc<Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.lock().clone()
    }

    pub fn put_subject(&self, root: u64, subject: Arc<Subject>) {
        Arc::make_mut(&mut self.lock()).subjects.insert(root, subject);
    }

    pub fn drop_subject(&self, root: u64) {
        Arc::make_mut(&mut self.lock()).subjects.remove(&root);
    }

    pub fn put_decoder(&self, number: u32, decoder: Decoder) {
        Arc::make_mut(&mut self.lock()).decoders.insert(number, decoder);
    }

    pub fn drop_decoder(&self, number: u32) {
        Arc::make_mut(&mut self.lock()).decoders.remove(&number);
    }
}
