//! Each manager's events, and a list of what runs whenever they may have been missed: containers that no hook
//! announced, labels that change, ends that no poststop told.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::asked::Asked;
use super::desk::Desk;
use super::{ManagerError, News};

/// How long a list may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it is tried again, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that held this long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// News not looked at yet; a manager that tells more waits.
const NEWS: usize = 256;

const NO_HOOK: &str = "no hook announced it";

/// Watches all managers until the future is dropped.
pub async fn all(desk: Desk) {
    let watch = |asked: &Asked| one(desk.clone(), asked.clone());
    futures_util::future::join_all(desk.managers().iter().map(watch)).await;
    std::future::pending::<()>().await;
}

async fn one(desk: Desk, asked: Asked) {
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        session(&desk, &asked).await;
        pause = if began.elapsed() > GOOD { PAUSE } else { LONGEST_PAUSE.min(pause * 2) };
        tokio::time::sleep(pause).await;
    }
}

/// As long as the connection holds.
async fn session(desk: &Desk, asked: &Asked) {
    let (sender, news) = mpsc::channel(NEWS);
    tokio::select! {
        // The events first: what happens during the list is among them.
        biased;
        ended = asked.manager().watch(sender) => if let Err(e) = ended { asked.hear(Some(&e)) },
        _ = follow(desk, asked, news) => {}
    }
}

async fn follow(desk: &Desk, asked: &Asked, mut news: mpsc::Receiver<News>) -> Result<(), ManagerError> {
    let mut rules = desk.changes();
    let mut why = NO_HOOK;
    loop {
        for facts in asked.running(PATIENCE).await? {
            desk.seen(asked, facts, why).await;
        }
        why = loop {
            tokio::select! {
                told = news.recv() => match told {
                    Some(News::Known(facts)) => desk.seen(asked, facts, NO_HOOK).await,
                    // A hint: that a cgroup is empty or gone is the end.
                    Some(News::Ended { .. }) => desk.registry().look().await,
                    // The end of the watch says why.
                    None => std::future::pending().await,
                },
                _ = rules.changed() => break "selected since the rules changed",
            }
        };
    }
}
