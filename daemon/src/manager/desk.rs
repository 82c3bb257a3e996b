//! Between the hook and the registry: who is wanted that does not ask by itself, and who everybody is. Asked of the
//! managers, each within its time; the registry's thread never waits for them.

use std::{collections::BTreeMap, path::Path, path::PathBuf, sync::Arc, time::Duration};

use remora_wire::{Ack, Annotations, Namespaces, Notice, Stage, time::unix_ns};
use tokio::sync::{Semaphore, watch};

use super::asked::Asked;
use super::wish::Rules;
use super::{Facts, Manager};
use crate::host::proc;
use crate::oci::{self, Identity, OptIn};
use crate::registry::{Handle, Known, Peer, hold::Newcomer, record::is_meant, scan};

/// What is asked once the container has started may take longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a manager may take to list its containers for a person who waits.
const LOOKING: Duration = Duration::from_secs(2);
/// Containers about which is asked again, all managers together; a list finds those beyond.
const MAX_OPEN: usize = 1024;
/// How soon it is asked again, doubled each time.
const AGAIN: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    managers: Vec<Asked>,
    rules: watch::Sender<Arc<Rules>>,
    timeout: Duration,
    registry: Handle,
    open: Arc<Semaphore>,
    /// What makes hooks ask about everybody.
    marker: PathBuf,
}

impl Desk {
    pub fn new(
        managers: Vec<Box<dyn Manager>>,
        rules: Rules,
        timeout: Duration,
        registry: Handle,
        marker: PathBuf,
    ) -> Self {
        let managers = managers.into_iter().map(Asked::new).collect();
        let rules = watch::Sender::new(Arc::new(rules));
        Self(Arc::new(Inner {
            managers,
            rules,
            timeout,
            registry,
            open: Arc::new(Semaphore::new(MAX_OPEN)),
            marker,
        }))
    }

    pub fn managers(&self) -> &[Asked] {
        &self.0.managers
    }

    pub fn registry(&self) -> &Handle {
        &self.0.registry
    }

    pub fn marker(&self) -> &Path {
        &self.0.marker
    }

    pub fn rules(&self) -> Arc<Rules> {
        self.0.rules.borrow().clone()
    }

    /// Tells of each change of the rules.
    pub fn changes(&self) -> watch::Receiver<Arc<Rules>> {
        self.0.rules.subscribe()
    }

    pub(super) fn put_rules(&self, rules: Rules) {
        self.0.rules.send_replace(Arc::new(rules));
    }

    pub fn owner(&self, notice: &Notice) -> Option<&Asked> {
        self.0.managers.iter().find(|m| m.owns(notice))
    }

    /// What a hook told. Who asks by itself is passed on at once; about others their manager is asked first.
    pub async fn notice(&self, notice: Notice, peer: Peer, late: Option<String>) -> Ack {
        let starts = notice.stage != Stage::Poststop;
        if starts && !asks(&notice) {
            return self.perhaps(notice, peer, late).await;
        }
        // Only root's word leads to a manager: ids and bundles are anybody's to claim.
        let owner = self.owner(&notice).filter(|_| starts && peer.uid == 0).cloned();
        let (id, bundle) = (notice.id.clone(), PathBuf::from(&notice.bundle));
        let ack = self.0.registry.notice(notice, peer, late).await;
        if let Some(owner) = owner.filter(|_| ack.ok) {
            self.complete(owner, id, bundle);
        }
        ack
    }

    /// Of a container that does not ask by itself.
    async fn perhaps(&self, notice: Notice, peer: Peer, late: Option<String>) -> Ack {
        if peer.uid != 0 || !self.rules().need_facts() {
            return not_wanted();
        }
        let Some(owner) = self.owner(&notice).cloned() else {
            return self.decide(notice, None, "", late).await;
        };
        match owner.about(&notice.id, Path::new(&notice.bundle), self.0.timeout).await {
            Ok(facts) => self.decide(notice, facts, owner.name(), late).await,
            Err(e) => {
                let message = format!("not opted in so far: {e}");
                self.ask_again(owner, notice, late.unwrap_or_else(|| e.to_string()));
                Ack { ok: false, message }
            }
        }
    }

    /// By what is known of it.
    async fn decide(
        &self,
        mut notice: Notice,
        facts: Option<Facts>,
        by: &'static str,
        late: Option<String>,
    ) -> Ack {
        let rules = self.rules();
        let facts = facts.unwrap_or_else(|| of_notice(&notice));
        let (annotations, own) = rules.wish(&notice.annotations, &facts);
        if facts.sandbox || OptIn::from_annotations(&annotations) == Ok(None) {
            return not_wanted();
        }
        notice.annotations = annotations;
        let known = Known::new(&notice, rules.learnt(&facts), by, !own);
        self.0.registry.wanted(notice, late, known).await
    }

    /// Completes the identity of one that is in scope by its own word.
    fn complete(&self, owner: Asked, id: String, bundle: PathBuf) {
        let Ok(place) = self.0.open.clone().try_acquire_owned() else { return };
        let desk = self.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Ok(Some(facts)) = owner.about(&id, &bundle, PATIENCE).await {
                let learnt = desk.rules().learnt(&facts);
                desk.0.registry.known(Known { id, learnt, by: owner.name(), keys: None }).await;
            }
        });
    }

    /// Its manager did not answer in time: the container goes on, and is asked about until there is an answer.
    fn ask_again(&self, owner: Asked, notice: Notice, why: String) {
        let Ok(place) = self.0.open.clone().try_acquire_owned() else { return };
        let desk = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let mut pause = AGAIN;
            loop {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
                if !is_alive(&notice) {
                    return;
                }
                let bundle = Path::new(&notice.bundle);
                if let Ok(facts) = owner.about(&notice.id, bundle, PATIENCE).await {
                    let waited = Duration::from_nanos(unix_ns().saturating_sub(notice.at));
                    let late = format!("{why}; known {:.1} s after its hook", waited.as_secs_f64());
                    desk.decide(notice, facts, owner.name(), Some(late)).await;
                    return;
                }
            }
        });
    }

    /// What a manager tells of a container that runs: in scope it is known better from here on, and of the others
    /// those wanted are registered, late.
    pub async fn seen(&self, owner: &Asked, facts: Facts, why: &str) {
        let rules = self.rules();
        let (annotations, own) = rules.wish(&own_words(&facts).await, &facts);
        let Some(notice) = of_facts(&facts, annotations) else { return };
        let known = Known::new(&notice, rules.learnt(&facts), owner.name(), !own);
        self.late(notice, known, &format!("found by {} ({why})", owner.name())).await;
    }

    /// A container found in a runtime's state: by its own word, or else by the rules, if no manager knows better.
    pub async fn found(&self, mut notice: Notice, why: &str) {
        if asks(&notice) {
            self.notice(notice, Peer { uid: 0 }, Some(why.to_owned())).await;
        } else if self.owner(&notice).is_none() {
            let rules = self.rules();
            let facts = of_notice(&notice);
            notice.annotations = rules.wish(&notice.annotations, &facts).0;
            let known = Known::new(&notice, rules.learnt(&facts), "", true);
            self.late(notice, known, why).await;
        }
    }

    /// A container that runs, wanted or not: by its id, the beginning of one, or a name that its manager knows.
    pub async fn find(&self, wanted: &str, roots: &[String]) -> Result<Option<Newcomer>, String> {
        let mut found = BTreeMap::new();
        for owner in self.managers() {
            let Ok(all) = owner.running(LOOKING).await else { continue };
            for facts in all.into_iter().filter(|f| !f.sandbox && is_meant(wanted, &f.id, &f.name)) {
                let Some(notice) = of_facts(&facts, own_words(&facts).await) else { continue };
                let known = Known::new(&notice, self.rules().learnt(&facts), owner.name(), true);
                found.entry(facts.id).or_insert_with(|| Newcomer::new(notice, known));
            }
        }
        let roots = roots.to_vec();
        let others = tokio::task::spawn_blocking(move || scan::all(&roots)).await.unwrap_or_default();
        for notice in others.into_iter().filter(|n| is_meant(wanted, &n.id, "")) {
            let known = Known::new(&notice, self.rules().learnt(&of_notice(&notice)), "", true);
            found.entry(notice.id.clone()).or_insert_with(|| Newcomer::new(notice, known));
        }
        match found.len() {
            0 | 1 => Ok(found.into_values().next()),
            n => Err(format!("{n} containers are called {wanted}: say its id")),
        }
    }

    async fn late(&self, notice: Notice, known: Known, why: &str) {
        let in_scope = self.0.registry.known(known.clone()).await;
        if in_scope || !is_alive(&notice) || !asks(&notice) {
            return;
        }
        let age = notice.start_time.map(proc::age).unwrap_or_default();
        let late = format!("{why}, {:.1} s after its start", age.as_secs_f64());
        self.0.registry.wanted(notice, Some(late), known).await;
    }
}

/// A container's own annotations, as far as its bundle can be read.
async fn own_words(facts: &Facts) -> Annotations {
    let bundle = PathBuf::from(&facts.bundle);
    let read = move || oci::bundle_annotations(&bundle).map(|(annotations, _)| annotations);
    let read = if facts.bundle.is_empty() { None } else { tokio::task::spawn_blocking(read).await.ok() };
    read.and_then(Result::ok).unwrap_or_default()
}

/// Whether the container asks by its own annotations, rightly or wrongly.
fn asks(notice: &Notice) -> bool {
    OptIn::from_annotations(&notice.annotations) != Ok(None)
}

fn not_wanted() -> Ack {
    Ack { ok: false, message: "not opted in: neither annotation nor label io.remora.trace".to_owned() }
}

/// Whether it is still the process that was told of.
fn is_alive(notice: &Notice) -> bool {
    let current = |pid| proc::start_time(pid).is_ok_and(|t| notice.start_time.is_none_or(|told| told == t));
    notice.pid.is_some_and(current)
}

/// What the annotations alone tell.
pub(super) fn of_notice(notice: &Notice) -> Facts {
    of_identity(Identity::from_notice(notice))
}

pub(super) fn of_identity(identity: Identity) -> Facts {
    Facts {
        id: identity.id,
        name: identity.name,
        image_name: identity.image_name,
        image_id: identity.image_id,
        pod: identity.pod,
        ..Facts::default()
    }
}

/// As the container's hook would have told; none of one that does not run.
fn of_facts(facts: &Facts, annotations: super::Labels) -> Option<Notice> {
    let pid = facts.pid?;
    Some(Notice {
        stage: Stage::CreateRuntime,
        id: facts.id.clone(),
        pid: Some(pid),
        start_time: Some(proc::start_time(pid).ok()?),
        bundle: facts.bundle.clone(),
        root: String::new(),
        annotations,
        truncated: false,
        namespaces: Namespaces::of(pid),
        runtime: String::new(),
        at: unix_ns(),
    })
}

#[cfg(test)]
mod tests;
