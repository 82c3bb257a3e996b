//! What managers say, asked of real ones. As root, with `make build` done.

mod containerd;
mod cri;
mod docker;

use std::{future::Future, path::Path, sync::mpsc, thread::JoinHandle, time::Duration};

use remora::manager::{Facts, Manager, ManagerError, News};
use remora_tests::patience;

/// Whether there is root to start a manager with.
fn can_run(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("SKIP: {test}: needs root");
    }
    root
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn about(manager: &dyn Manager, id: &str, bundle: &Path) -> Option<Facts> {
    wait(manager.about(id, bundle)).unwrap_or_else(|e| panic!("{id}: {e}"))
}

fn running(manager: &dyn Manager) -> Vec<Facts> {
    wait(manager.running()).unwrap_or_else(|e| panic!("{e}"))
}

/// A manager that is listened to.
struct Watch {
    news: mpsc::Receiver<News>,
    thread: Option<JoinHandle<Result<(), ManagerError>>>,
}

impl Watch {
    fn of(manager: impl Manager) -> Self {
        let (to, news) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            wait(async {
                let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
                let pass = async {
                    while let Some(one) = receiver.recv().await {
                        let _ = to.send(one);
                    }
                };
                tokio::join!(manager.watch(sender), pass).0
            })
        });
        Self { news, thread: Some(thread) }
    }

    /// The next news that this is about.
    fn next(&self, what: &str, wanted: impl Fn(&News) -> bool) -> News {
        let end = std::time::Instant::now() + patience();
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let one = self.news.recv_timeout(left).unwrap_or_else(|e| panic!("no news of {what}: {e}"));
            if wanted(&one) {
                return one;
            }
        }
    }

    fn known(&self, id: &str, wanted: impl Fn(&Facts) -> bool) -> Facts {
        let news = self.next(id, |one| matches!(one, News::Known(facts) if facts.id == id && wanted(facts)));
        let News::Known(facts) = news else { unreachable!("only those are wanted") };
        facts
    }

    fn ended(&self, id: &str) {
        self.next(id, |one| *one == News::Ended { id: id.to_owned() });
    }

    /// How it ended, which it has or is about to.
    fn end(mut self) -> Result<(), ManagerError> {
        self.thread.take().expect("a thread").join().expect("the watch panicked")
    }
}

/// A manager that is stopped answers nothing, and each question ends in its time.
fn assert_late(manager: &dyn Manager, id: &str) {
    let (sender, _news) = tokio::sync::mpsc::channel(1);
    let most = Duration::from_secs(15);
    let late = |what: &str, answer: Result<(), ManagerError>| {
        assert!(matches!(answer, Err(ManagerError::Late { .. })), "{what}: {answer:?}");
    };
    let all = async {
        let (about, running, watch) =
            tokio::join!(manager.about(id, Path::new("")), manager.running(), manager.watch(sender));
        late("about", about.map(drop));
        late("running", running.map(drop));
        late("watch", watch);
    };
    wait(async { tokio::time::timeout(most, all).await }).expect("a question without an end");
}

fn assert_absent(manager: &dyn Manager) {
    let answer = wait(manager.running());
    assert!(matches!(answer, Err(ManagerError::Absent { .. })), "{answer:?}");
}
