//! What is changed of a container that is being created: nothing, or our hooks and the annotations that hook and daemon
//! go by. Computed from memory alone, since the runtime waits.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use remora_wire::KEY_PREFIX;

use super::messages::{
    Container, ContainerAdjustment, CreateContainerRequest, Hook, Hooks, OptionalInt, PodSandbox,
};
use crate::manager::{Facts, Labels, wish::Rules};
use crate::oci::{self, OptIn, Pod};

const NAME: &str = "remora-hook";
/// As in the files of runtime-configs, in seconds: the second line of defence behind the hook's own budget.
const TIMEOUT_S: i64 = 2;
/// Longest text of all annotations that are added; what says more than that says nothing a tracer could use.
const MAX_ADDED: usize = 256 << 10;
const CONTAINER_TYPE: [&str; 2] = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];

/// How our hook is called.
#[derive(Debug)]
pub struct HookCall {
    path: PathBuf,
    /// Before the stage.
    options: Vec<String>,
    /// Its absence has been logged.
    told: AtomicBool,
}

impl HookCall {
    pub fn new(path: PathBuf, options: Vec<String>) -> Self {
        Self { path, options, told: AtomicBool::new(false) }
    }

    /// A configured hook that is not there would keep the container from starting.
    fn path(&self) -> Option<&str> {
        let executable =
            |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        let there = self.path.to_str().filter(|_| executable(&self.path));
        if there.is_none() && !self.told.swap(true, Relaxed) {
            tracing::warn!(
                "{} is missing: containers that NRI shows start without our hook, and are found late",
                self.path.display()
            );
        }
        if there.is_some() {
            self.told.store(false, Relaxed);
        }
        there
    }

    fn at(&self, path: &str, stage: &str) -> Hook {
        let words = [NAME].into_iter().chain(self.options.iter().map(String::as_str)).chain([stage]);
        let args = words.map(ToOwned::to_owned).collect();
        Hook { path: path.to_owned(), args, timeout: Some(OptionalInt { value: TIMEOUT_S }) }
    }

    /// Those of our hooks that it lacks: a base specification may bring them, too.
    fn lacking(&self, present: Option<&Hooks>) -> Option<Hooks> {
        let path = self.path()?;
        let none = Hooks::default();
        let present = present.unwrap_or(&none);
        let is_ours = |hook: &Hook| Path::new(&hook.path).file_name().is_some_and(|name| name == NAME);
        let mut hooks = Hooks::default();
        if !present.create_runtime.iter().chain(&present.prestart).any(is_ours) {
            hooks.create_runtime.push(self.at(path, "createRuntime"));
        }
        if !present.poststop.iter().any(is_ours) {
            hooks.poststop.push(self.at(path, "poststop"));
        }
        Some(hooks)
    }
}

/// Nothing for a container that does not want to be traced, or cannot be.
pub fn adjust(
    request: CreateContainerRequest,
    rules: &Rules,
    hook: &HookCall,
) -> Option<ContainerAdjustment> {
    let mut container = request.container?;
    let present = container.hooks.take();
    let facts = facts(container, request.pod);
    let mut annotations = wish(&facts, rules)?;
    annotations.extend(oci::lacking_names(&facts.annotations, &facts.name, facts.pod.as_ref()));
    let length: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if length > MAX_ADDED {
        tracing::warn!(container = ?facts.id, "not traced: its annotations have {length} bytes");
        return None;
    }
    let hooks = hook.lacking(present.as_ref())?;
    tracing::debug!(container = ?facts.id, name = ?facts.name, "adding hooks");
    Some(ContainerAdjustment { annotations, hooks: Some(hooks) })
}

/// The keys of ours for this container, if it wants to be traced. A pod's annotations count like its containers' own,
/// as they do where the runtime is told to hand them down.
pub fn wish(facts: &Facts, rules: &Rules) -> Option<Labels> {
    let all = facts.pod_annotations.iter().chain(&facts.annotations);
    let ours = all.filter(|(key, _)| key.starts_with(KEY_PREFIX));
    let mut asking: Labels = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
    let keys = rules.keys(&asking, facts);
    // What says "none", or names another container, asks for nothing; what is not understood is for the daemon to tell.
    asking.clone_from(&keys);
    asking.extend(oci::lacking_names(&asking, &facts.name, None));
    let wanted = !matches!(OptIn::from_annotations(&asking), Ok(None));
    wanted.then_some(keys)
}

/// A runtime merges the image's labels into the container's before it shows them here: they count as the image's.
pub fn facts(container: Container, pod: Option<PodSandbox>) -> Facts {
    let pod = pod.unwrap_or_default();
    let sandbox =
        CONTAINER_TYPE.iter().any(|key| container.annotations.get(*key).is_some_and(|t| t == "sandbox"));
    Facts {
        id: container.id,
        name: container.name,
        image_labels: container.labels,
        annotations: container.annotations,
        pod: (!pod.name.is_empty()).then_some(Pod { name: pod.name, namespace: pod.namespace, uid: pod.uid }),
        pod_labels: pod.labels,
        pod_annotations: pod.annotations,
        sandbox,
        pid: (container.pid > 1).then_some(container.pid),
        ..Facts::default()
    }
}
