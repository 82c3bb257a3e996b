//! What is known of a container besides its processes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Serial;
use crate::event::Event;
use crate::shown;

/// Bytes of a container's `container` and `k8s`; without `k8s`, whose labels may be many, where it is more.
const SUBJECT: usize = 4096;

#[derive(Debug, Clone)]
pub struct Container {
    pub id: Arc<str>,
    pub name: Box<str>,
    pub image: Box<str>,
    pub image_id: Box<str>,
    pub role: Box<str>,
    /// What runs there: namespace and pod, or its name.
    pub workload: Box<str>,
    /// Members `container` and `k8s` of its events, as JSON.
    pub subject: Arc<str>,
    /// Time of its first and its latest event.
    pub first: u64,
    pub last: u64,
    pub ended: Option<u64>,
    /// Events of it that were lost.
    pub lost: u64,
    /// Its first process was seen to begin: one whose parent is not known is from outside.
    pub(super) whole: bool,
    pub(super) by_pid: HashMap<u64, Serial>,
    /// Those that live last, each kind by use.
    pub(super) order: BTreeSet<(bool, u64, Serial)>,
}

/// Members `container` and `k8s` of an event.
pub fn subject(event: &Event) -> Map<String, Value> {
    let members = ["container", "k8s"].into_iter();
    members.filter_map(|m| Some((m.to_owned(), event.json().get(m)?.clone()))).collect()
}

fn kept_subject(event: &Event) -> Arc<str> {
    let mut subject = subject(event);
    let text = |subject: &Map<String, Value>| serde_json::to_string(subject).unwrap_or_default();
    let mut kept = text(&subject);
    for member in ["k8s", "container"] {
        if kept.len() <= SUBJECT {
            break;
        }
        subject.remove(member);
        kept = text(&subject);
    }
    kept.into()
}

impl Container {
    pub(super) fn new(event: &Event) -> Self {
        let short = |text: &str| shown::line(text, 128).into_boxed_str();
        let name = match event.text("container.name") {
            "" => event.container(),
            name => name,
        };
        let workload = match (event.text("k8s.namespace.name"), event.text("k8s.pod.name")) {
            (_, "") => name.to_owned(),
            (namespace, pod) => format!("{namespace}/{pod}"),
        };
        Self {
            id: event.container().into(),
            name: short(name),
            image: short(event.image()),
            image_id: short(event.image_id()),
            role: short(event.role()),
            workload: short(&workload),
            subject: kept_subject(event),
            first: event.time(),
            last: event.time(),
            ended: None,
            lost: 0,
            whole: false,
            by_pid: HashMap::new(),
            order: BTreeSet::new(),
        }
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.id.len() + self.name.len() * 2 + self.image.len() + 160
    }
}
