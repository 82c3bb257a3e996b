//! A manager of the test's own, and a registry that only writes down what it is told.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use futures_util::future::BoxFuture;
use remora_wire::Namespaces;
use tokio::sync::mpsc;

use super::*;
use crate::manager::wish::LabelRules;
use crate::manager::{Labels, ManagerError, News, watch as watching};
use crate::registry::Command;

const NAME: &str = "fake";
const TIMEOUT: Duration = Duration::from_millis(100);
/// By which a thing is surely over that waited for nobody.
const SLACK: Duration = Duration::from_secs(10);

/// What the manager knows of everybody, and whether it says so.
#[derive(Debug, Default)]
struct Fake {
    facts: Mutex<Option<Facts>>,
    wedged: AtomicBool,
    gone: AtomicBool,
    asked: AtomicUsize,
}

impl Fake {
    fn knowing(labels: &[(&str, &str)]) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        fake.label(labels);
        fake
    }

    fn label(&self, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (id, name, pid) = ("c1".to_owned(), "web".to_owned(), Some(std::process::id()));
        *self.facts() = Some(Facts { id, name, pid, labels, ..Facts::default() });
    }

    fn facts(&self) -> MutexGuard<'_, Option<Facts>> {
        self.facts.lock().unwrap()
    }

    async fn answer(&self) -> Result<Option<Facts>, ManagerError> {
        self.asked.fetch_add(1, Relaxed);
        if self.wedged.load(Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.gone.load(Relaxed) {
            return Err(ManagerError::Absent { manager: NAME, at: "/fake".into(), why: "gone".into() });
        }
        Ok(self.facts().clone())
    }
}

impl Manager for Arc<Fake> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn owns(&self, notice: &Notice) -> bool {
        notice.bundle.starts_with("/fake/")
    }

    fn about<'a>(&'a self, _: &'a str, _: &'a Path) -> BoxFuture<'a, Result<Option<Facts>, ManagerError>> {
        Box::pin(self.answer())
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Facts>, ManagerError>> {
        Box::pin(async { Ok(self.answer().await?.into_iter().collect()) })
    }

    fn watch(&self, news: mpsc::Sender<News>) -> BoxFuture<'_, Result<(), ManagerError>> {
        Box::pin(async move {
            news.closed().await;
            Ok(())
        })
    }
}

/// What the registry was told.
#[derive(Debug, Clone)]
enum Told {
    Notice { annotations: Labels, late: Option<String>, known: Option<Known> },
    Known(Known),
}

struct World {
    desk: Desk,
    told: mpsc::UnboundedReceiver<Told>,
    in_scope: Arc<AtomicBool>,
}

impl World {
    fn new(fake: &Arc<Fake>, rules: Rules) -> Self {
        let (commands, mut inbox) = mpsc::channel(16);
        let (sender, told) = mpsc::unbounded_channel();
        let in_scope = Arc::new(AtomicBool::new(false));
        let scope = in_scope.clone();
        tokio::spawn(async move {
            while let Some(command) = inbox.recv().await {
                match command {
                    Command::Notice { notice, late, known, reply, .. } => {
                        let known = known.map(|known| *known);
                        let _ = sender.send(Told::Notice { annotations: notice.annotations, late, known });
                        let _ = reply.send(Ack { ok: true, message: "in scope".into() });
                    }
                    Command::Known(known, reply) => {
                        let _ = sender.send(Told::Known(*known));
                        let _ = reply.send(scope.load(Relaxed));
                    }
                    _ => {}
                }
            }
        });
        let managers: Vec<Box<dyn Manager>> = vec![Box::new(fake.clone())];
        let desk = Desk::new(managers, rules, TIMEOUT, Handle::new(commands), PathBuf::from("/nonexistent"));
        Self { desk, told, in_scope }
    }

    async fn next(&mut self) -> Told {
        tokio::time::timeout(SLACK, self.told.recv()).await.expect("the registry is told nothing").unwrap()
    }

    fn nothing(&mut self) {
        assert!(self.told.try_recv().is_err());
    }

    async fn notice(&self, annotations: &[(&str, &str)]) -> Ack {
        self.desk.notice(notice("/fake/c1", annotations), Peer { uid: 0 }, None).await
    }
}

fn notice(bundle: &str, annotations: &[(&str, &str)]) -> Notice {
    let pid = std::process::id();
    Notice {
        stage: Stage::CreateRuntime,
        id: "c1".into(),
        pid: Some(pid),
        start_time: proc::start_time(pid).ok(),
        bundle: bundle.into(),
        root: String::new(),
        annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        truncated: false,
        namespaces: Namespaces::default(),
        runtime: String::new(),
        at: unix_ns(),
    }
}

fn select(toml: &str) -> Rules {
    let config = crate::config::Config::parse(toml, Path::new("remora.toml")).unwrap();
    Rules { labels: LabelRules { opt_in: false, ..LabelRules::default() }, ..config.rules() }
}

#[tokio::test]
async fn a_label_counts_and_a_neighbour_costs_the_registry_nothing() {
    let mut world = World::new(&Fake::knowing(&[("io.remora.trace/web", "exec")]), Rules::default());
    assert!(world.notice(&[("other", "x"), ("io.remora.required", "true")]).await.ok);
    let Told::Notice { annotations, late, known } = world.next().await else { panic!() };
    let expected = [("io.remora.trace", "exec"), ("other", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!((annotations, late), (Labels::from(expected), None));
    let known = known.unwrap();
    assert_eq!((known.learnt.name.as_str(), known.by), ("web", NAME));
    assert!(known.keys.is_some());

    let mut world = World::new(&Fake::knowing(&[("app", "x")]), Rules::default());
    let ack = world.notice(&[]).await;
    assert!(!ack.ok && ack.message.starts_with("not opted in"), "{ack:?}");
    world.nothing();
}

#[tokio::test]
async fn who_asks_itself_waits_for_no_manager() {
    let fake = Fake::knowing(&[]);
    fake.wedged.store(true, Relaxed);
    let mut world = World::new(&fake, Rules::default());
    let start = Instant::now();
    assert!(world.notice(&[("io.remora.trace", "exec")]).await.ok);
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    assert!(matches!(world.next().await, Told::Notice { known: None, .. }));

    let mut world = World::new(&Fake::knowing(&[]), Rules::default());
    assert!(world.notice(&[("io.remora.trace", "exec")]).await.ok);
    assert!(matches!(world.next().await, Told::Notice { known: None, .. }));
    let Told::Known(known) = world.next().await else { panic!() };
    assert_eq!((known.learnt.name.as_str(), known.keys), ("web", None));
}

#[tokio::test]
async fn a_manager_that_is_wedged_costs_one_time_out_and_is_asked_again() {
    let fake = Fake::knowing(&[("io.remora.trace", "exec")]);
    fake.wedged.store(true, Relaxed);
    let mut world = World::new(&fake, Rules::default());
    let start = Instant::now();
    let ack = world.notice(&[]).await;
    assert!(!ack.ok && ack.message.contains("did not answer"), "{ack:?}");
    assert!(start.elapsed() >= TIMEOUT);
    assert_eq!(world.desk.managers()[0].is_up(), Some(false));
    let start = Instant::now();
    for _ in 0..100 {
        assert!(world.notice(&[]).await.message.contains("did not answer lately"));
    }
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    assert_eq!(fake.asked.load(Relaxed), 1);
    world.nothing();

    fake.wedged.store(false, Relaxed);
    let Told::Notice { late, .. } = world.next().await else { panic!() };
    let late = late.unwrap();
    assert!(late.contains("fake") && late.contains("known") && late.ends_with("s after its hook"), "{late}");
    assert_eq!(world.desk.managers()[0].is_up(), Some(true));
}

#[tokio::test]
async fn many_at_once_wait_together() {
    let fake = Fake::knowing(&[]);
    fake.wedged.store(true, Relaxed);
    let world = World::new(&fake, Rules::default());
    let start = Instant::now();
    futures_util::future::join_all((0..200).map(|_| world.notice(&[]))).await;
    assert!(start.elapsed() < TIMEOUT * 10, "{:?}", start.elapsed());
    assert!(fake.asked.load(Relaxed) <= 16, "few have a place, the others go on: {:?}", fake.asked);
}

#[tokio::test]
async fn a_manager_that_is_gone_or_knows_nothing_leaves_what_annotations_tell() {
    let rules = select("[[select]]\nnamespace = \"prod\"\ntrace = \"tcp\"");
    let pod = [("io.kubernetes.cri.sandbox-name", "web-0"), ("io.kubernetes.cri.sandbox-namespace", "prod")];
    let fake = Arc::new(Fake::default());
    let mut world = World::new(&fake, rules.clone());
    assert!(world.notice(&pod).await.ok);
    let Told::Notice { annotations, .. } = world.next().await else { panic!() };
    assert_eq!(annotations["io.remora.trace"], "tcp");

    fake.gone.store(true, Relaxed);
    assert!(world.notice(&pod).await.message.contains("not there"));
    fake.gone.store(false, Relaxed);
    assert!(matches!(world.next().await, Told::Notice { late: Some(_), .. }));

    // One that no manager owns.
    let ack = world.desk.notice(notice("/run/c1", &pod), Peer { uid: 0 }, None).await;
    assert!(ack.ok);
    let sandbox = [&pod[..], &[("io.kubernetes.cri.container-type", "sandbox")]].concat();
    assert!(!world.desk.notice(notice("/run/c1", &sandbox), Peer { uid: 0 }, None).await.ok);
}

#[tokio::test]
async fn a_users_word_leads_to_no_manager() {
    let fake = Fake::knowing(&[("io.remora.trace", "exec")]);
    let mut world = World::new(&fake, Rules::default());
    let user = Peer { uid: 1000 };
    assert!(!world.desk.notice(notice("/fake/c1", &[]), user, None).await.ok);
    world.nothing();
    world.desk.notice(notice("/fake/c1", &[("io.remora.trace", "exec")]), user, None).await;
    assert!(matches!(world.next().await, Told::Notice { known: None, .. }));
    world.nothing();
    assert_eq!(fake.asked.load(Relaxed), 0);
}

#[tokio::test]
async fn what_a_manager_lists_is_registered_late_and_follows_the_rules() {
    let fake = Fake::knowing(&[("io.remora.trace", "exec")]);
    let mut world = World::new(&fake, Rules::default());
    let watch = tokio::spawn(watching::all(world.desk.clone()));
    assert!(matches!(world.next().await, Told::Known(_)));
    let Told::Notice { late, .. } = world.next().await else { panic!() };
    let late = late.unwrap();
    assert!(late.starts_with("found by fake (no hook announced it), "), "{late}");

    // Nobody may be traced any more: the list is told anew, with no key of ours in it.
    world.in_scope.store(true, Relaxed);
    world.desk.put_rules(select(""));
    let Told::Known(known) = world.next().await else { panic!() };
    assert_eq!(known.keys, Some(Labels::new()));
    watch.abort();
}

#[tokio::test]
async fn who_is_dead_is_not_asked_about_for_ever() {
    let fake = Fake::knowing(&[("io.remora.trace", "exec")]);
    fake.gone.store(true, Relaxed);
    let mut world = World::new(&fake, Rules::default());
    let dead = Notice { start_time: Some(1), ..notice("/fake/c1", &[]) };
    assert!(!world.desk.notice(dead, Peer { uid: 0 }, None).await.ok);
    fake.gone.store(false, Relaxed);
    tokio::time::sleep(AGAIN * 3).await;
    world.nothing();
    assert_eq!(world.desk.0.open.available_permits(), MAX_OPEN);
}
