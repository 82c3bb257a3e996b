//! What managers tell of containers that no hook announced.

use remora_wire::{Namespaces, Notice, Stage};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::host::proc;
use crate::manager::{Facts, News, desk::Desk, wish::Rules};
use crate::nri::Plugin;
use crate::oci;
use crate::registry::Peer;

/// News that wait for the registry.
const WAITING: usize = 64;

/// The plugin, and what it finds. Never returns.
pub async fn serve_nri(config: &Config, desk: &Desk) {
    let settings = config.managers.nri.clone();
    if !settings.enabled {
        return std::future::pending().await;
    }
    let (sender, mut news) = mpsc::channel(WAITING);
    let hook = settings.hook_call(&config.hook.socket, &config.state_dir.join("spool"));
    let plugin = Plugin::new(settings, hook, desk.changes(), sender);
    let listen = async {
        while let Some(news) = news.recv().await {
            let News::Known(facts) = news else { continue };
            if let Some(notice) = notice(facts, &desk.rules()) {
                let late = "found running by NRI, with no word from a hook".to_owned();
                desk.notice(notice, Peer { uid: 0 }, Some(late)).await;
            }
        }
    };
    tokio::join!(plugin.run(), listen);
}

/// As its hook would have announced it.
fn notice(facts: Facts, rules: &Rules) -> Option<Notice> {
    let pid = facts.pid?;
    let mut annotations = facts.annotations.clone();
    annotations.extend(rules.keys(&facts.annotations, &facts));
    annotations.extend(oci::lacking_names(&facts.annotations, &facts.name, facts.pod.as_ref()));
    Some(Notice {
        stage: Stage::CreateRuntime,
        id: facts.id,
        pid: Some(pid),
        start_time: Some(proc::start_time(pid).ok()?),
        bundle: facts.bundle,
        root: String::new(),
        annotations,
        truncated: false,
        namespaces: Namespaces::of(pid),
        runtime: String::new(),
        at: 0,
    })
}
