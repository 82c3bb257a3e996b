//! What exists when the plugin is connected: pods and containers, in one request or several.

use std::collections::{BTreeMap, VecDeque};

use prost::{DecodeError, Message as _};

use super::adjust::{facts, wish};
use super::messages::{Container, PodSandbox, RUNNING, SynchronizeRequest};
use crate::manager::{Facts, wish::Rules};

/// Most bytes of pods and containers that are looked at, over all requests of one connection: a thousand of each
/// take some 10 MiB.
const MAX_BYTES: usize = 32 << 20;
/// And most of both together.
const MAX_ITEMS: usize = 16_384;

#[derive(Debug, Default)]
pub struct Gathering {
    pods: BTreeMap<String, PodSandbox>,
    containers: Vec<Container>,
    bytes: usize,
    items: usize,
    /// Beyond the bounds, or not understood.
    left_out: usize,
}

impl Gathering {
    pub fn add(&mut self, request: &SynchronizeRequest) {
        for pod in &request.pods {
            if let Some(pod) = self.admit(pod.len(), || PodSandbox::decode(pod.clone())) {
                self.pods.insert(pod.id.clone(), pod);
            }
        }
        for container in &request.containers {
            let container = self.admit(container.len(), || Container::decode(container.clone()));
            self.containers.extend(container.filter(|c| c.state == RUNNING));
        }
    }

    fn admit<T>(&mut self, length: usize, decode: impl FnOnce() -> Result<T, DecodeError>) -> Option<T> {
        self.bytes = self.bytes.saturating_add(length);
        self.items += 1;
        let admitted = self.bytes <= MAX_BYTES && self.items <= MAX_ITEMS;
        let item = admitted.then(decode).and_then(Result::ok);
        self.left_out += usize::from(item.is_none());
        item
    }

    /// Those that run and want to be traced.
    pub fn finish(&mut self, rules: &Rules) -> VecDeque<Facts> {
        let Self { pods, containers, left_out, .. } = std::mem::take(self);
        if left_out > 0 {
            tracing::warn!("{left_out} pods and containers that NRI showed were left out");
        }
        let all = containers.into_iter().map(|container| {
            let pod = pods.get(&container.pod_id).cloned();
            facts(container, pod)
        });
        all.filter(|facts| wish(facts, rules).is_some()).collect()
    }
}
