use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::messages::*;
use super::*;
use crate::manager::{Facts, Labels, wish::Select};

mod adjust;
mod fake;
mod session;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// A container of the pod `web-0`.
fn container(id: &str, annotations: &[(&str, &str)]) -> Container {
    Container {
        id: id.into(),
        pod_id: "pod".into(),
        name: "web".into(),
        annotations: labels(annotations),
        ..Container::default()
    }
}

fn pod(annotations: &[(&str, &str)], marks: &[(&str, &str)]) -> PodSandbox {
    PodSandbox {
        id: "pod".into(),
        name: "web-0".into(),
        uid: "u-1".into(),
        namespace: "prod".into(),
        labels: labels(marks),
        annotations: labels(annotations),
    }
}

/// A hook that is there.
fn installed(dir: &Path) -> PathBuf {
    let path = dir.join("remora-hook");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A plugin with a hook, and who hears of what it finds.
fn plugin(dir: &Path) -> (Plugin, mpsc::Receiver<News>, watch::Sender<Arc<Rules>>) {
    let (sender, news) = mpsc::channel(1);
    let (rules, seen) = watch::channel(Arc::new(Rules::default()));
    let settings = Settings { socket: dir.join("nri.sock"), index: "42".into(), ..Settings::default() };
    (Plugin::new(settings, HookCall::new(installed(dir), Vec::new()), seen, sender), news, rules)
}
