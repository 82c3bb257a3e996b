//! Events for tests, without a kernel.

use std::sync::Arc;

use super::{Batch, Hub, Subject};
use crate::scope::abi::Head;
use crate::tracer::plan::{EventPlan, Layout};

/// Publishes one event for each cursor, at the time of its cursor in milliseconds since the epoch of the clock.
pub fn publish(hub: &Hub, container: &str, cursors: impl IntoIterator<Item = u64>) {
    let json = format!("\"container\":{{\"id\":\"{container}\",\"name\":\"{container}\"}}").into_bytes();
    let subject = Arc::new(Subject {
        id: container.into(),
        name: container.into(),
        image: String::new(),
        pod: None,
        json,
    });
    let layout = Layout { size: Head::SIZE, ..Layout::default() };
    let (name, help) = ("ping".to_owned(), String::new());
    let plan = Arc::new(EventPlan { tracer: "fake".into(), name, help, report: None, type_id: 1, layout });
    let mut batch = Batch::default();
    for cursor in cursors {
        let mut record = vec![0; Head::SIZE];
        record[..8].copy_from_slice(&(cursor * 1_000_000).to_ne_bytes());
        batch.bytes.extend_from_slice(&record);
        batch.push(cursor, record.len(), subject.clone(), plan.clone());
    }
    hub.publish(batch);
}
