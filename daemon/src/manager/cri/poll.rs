//! For runtimes without events: what runs now against what ran a moment ago.

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tonic::transport::Channel;

use super::{Cri, that_run};
use crate::manager::{
    ManagerError, News,
    grpc::{LISTING, QUESTION},
};

/// Between two looks. A hook tells of a start at once; this finds those without.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    began: Vec<String>,
    ended: Vec<String>,
}

fn change(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Change {
    let only = |these: &BTreeSet<String>, those| these.difference(those).cloned().collect();
    Change { began: only(now, before), ended: only(before, now) }
}

impl Cri {
    /// The first look tells of all that run.
    pub(super) async fn poll(
        &self,
        channel: &Channel,
        news: &mpsc::Sender<News>,
    ) -> Result<(), ManagerError> {
        let mut before = BTreeSet::new();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !news.is_closed() {
            ticks.tick().await;
            let listed = self.peer.within(LISTING, self.containers(channel, that_run())).await?;
            let now = listed.into_iter().map(|container| container.id).collect();
            let Change { began, ended } = change(&before, &now);
            for id in ended {
                let _ = news.send(News::Ended { id }).await;
            }
            for id in began {
                if let Some(facts) = self.peer.within(QUESTION, self.facts(channel, &id)).await? {
                    let _ = news.send(News::Known(facts)).await;
                }
            }
            before = now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_went_between_two_looks() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let Change { began, ended } = change(&ids(&["a", "b"]), &ids(&["b", "c"]));
        assert_eq!((began, ended), (vec!["c".to_owned()], vec!["a".to_owned()]));
        assert_eq!(change(&ids(&["a"]), &ids(&["a"])), Change::default());
    }
}
