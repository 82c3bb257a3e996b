//! What container managers say of their containers: names, labels, images, pods. Asked only in ways that do not
//! wait for a hook, since the container that is asked about may be waiting for us.

mod asked;
pub mod desk;
pub mod podman;
pub mod reload;
pub mod watch;
pub mod containerd;
pub mod cri;
mod grpc;
pub mod docker;
pub mod wish;

use std::{collections::BTreeMap, fmt::Debug, path::Path, time::Duration};

use futures_util::future::BoxFuture;
use remora_wire::Notice;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::config::duration;
use crate::oci::Pod;

pub type Labels = BTreeMap<String, String>;

/// The managers of this host, and where they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Managers {
    /// How long a container's start waits for its manager's word on it; the hook's own budget is 500 ms.
    #[serde(with = "duration")]
    pub timeout: Duration,
    pub podman: podman::Settings,
    pub docker: docker::Settings,
    pub containerd: containerd::Settings,
    pub cri: cri::Settings,
    pub nri: crate::nri::Settings,
}

impl Default for Managers {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(150),
            podman: podman::Settings::default(),
            docker: docker::Settings::default(),
            containerd: containerd::Settings::default(),
            cri: cri::Settings::default(),
            nri: crate::nri::Settings::default(),
        }
    }
}

/// Each manager that containers of this host may belong to; of several that own one, the first is asked.
pub fn all(settings: &Managers) -> Vec<Box<dyn Manager>> {
    vec![
        Box::new(podman::Podman::new(&settings.podman)),
        Box::new(docker::Docker::new(&settings.docker)),
        Box::new(containerd::Containerd::new(&settings.containerd)),
        Box::new(cri::Cri::new(&settings.cri)),
    ]
}

/// What a manager says of one container. Everything in it is anybody's to choose, and bounded by who reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub id: String,
    /// Empty if unknown, as are the fields below.
    pub name: String,
    /// The container's own; where a manager merges the image's into them, those are left out again.
    pub labels: Labels,
    /// What the image brought. They count only if the administrator says so.
    pub image_labels: Labels,
    /// Those that the manager passes to no runtime.
    pub annotations: Labels,
    pub image_name: String,
    pub image_id: String,
    pub pod: Option<Pod>,
    pub pod_labels: Labels,
    pub pod_annotations: Labels,
    /// A pod's pause container.
    pub sandbox: bool,
    /// Init, where the manager knows it and it runs.
    pub pid: Option<u32>,
    /// Where the bundle is, if the manager says.
    pub bundle: String,
}

/// What a manager's stream of events tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "most of them are known ones, and none is kept")]
pub enum News {
    /// It runs, or its labels have changed.
    Known(Facts),
    /// Its init has ended, or it was removed.
    Ended { id: String },
}

#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// Not installed, or down: asked again later.
    #[error("{manager} at {at} is not there: {why}")]
    Absent { manager: &'static str, at: String, why: String },
    #[error("{manager} at {at}: {why}")]
    Failed { manager: &'static str, at: String, why: String },
    #[error("{manager}{} did not answer within {}", named(.at), humantime::format_duration(*.within))]
    Late { manager: &'static str, at: String, within: Duration },
    /// It has not answered lately, and is left alone for a while.
    #[error("{manager} did not answer lately")]
    Silent { manager: &'static str },
}

/// Who asks may not know where the manager is.
fn named(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!(" at {at}") }
}

/// One manager on this host. Each call is bounded in time by who calls it; none may block a thread.
pub trait Manager: Debug + Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// Whether the container that a hook announces is one of this manager's, by its bundle's path and annotations.
    fn owns(&self, notice: &Notice) -> bool;

    /// Of a container that exists, started or not. None: the manager knows no such container.
    fn about<'a>(
        &'a self,
        id: &'a str,
        bundle: &'a Path,
    ) -> BoxFuture<'a, Result<Option<Facts>, ManagerError>>;

    /// All that run now.
    fn running(&self) -> BoxFuture<'_, Result<Vec<Facts>, ManagerError>>;

    /// Tells what happens until the connection ends. Who calls it lists with `running` right after it has begun,
    /// and begins anew when it ends.
    fn watch(&self, news: mpsc::Sender<News>) -> BoxFuture<'_, Result<(), ManagerError>>;
}
