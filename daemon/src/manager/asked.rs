//! One manager as the rest of the daemon asks it: never longer than said, never by too many at a time, and not again
//! for a while once it has been silent.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use remora_wire::Notice;
use tokio::{sync::Semaphore, time::timeout};

use super::{Facts, Manager, ManagerError};
use crate::decode::text::printable;

/// Questions under way; more wait, within their own time.
const PLACES: usize = 8;
/// How long a manager that was silent is left alone: doubled each time.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Asked(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    manager: Box<dyn Manager>,
    places: Semaphore,
    heard: Mutex<Heard>,
}

/// How it has answered lately.
#[derive(Debug, Default)]
struct Heard {
    up: Option<bool>,
    /// Questions in a row to which there was no answer in time.
    silences: u32,
    rests_until: Option<Instant>,
}

impl Asked {
    pub fn new(manager: Box<dyn Manager>) -> Self {
        Self(Arc::new(Inner { manager, places: Semaphore::new(PLACES), heard: Mutex::default() }))
    }

    pub fn name(&self) -> &'static str {
        self.0.manager.name()
    }

    pub fn owns(&self, notice: &Notice) -> bool {
        self.0.manager.owns(notice)
    }

    pub fn manager(&self) -> &dyn Manager {
        self.0.manager.as_ref()
    }

    /// Whether it answered when last asked; none if it has not been asked yet.
    pub fn is_up(&self) -> Option<bool> {
        self.heard().up
    }

    pub async fn about(
        &self,
        id: &str,
        bundle: &Path,
        within: Duration,
    ) -> Result<Option<Facts>, ManagerError> {
        self.ask(self.0.manager.about(id, bundle), within).await
    }

    pub async fn running(&self, within: Duration) -> Result<Vec<Facts>, ManagerError> {
        self.ask(self.0.manager.running(), within).await
    }

    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, ManagerError>>,
        within: Duration,
    ) -> Result<T, ManagerError> {
        let manager = self.name();
        if self.rests() {
            return Err(ManagerError::Silent { manager });
        }
        let asked = async {
            let _place = self.0.places.acquire().await;
            // It may have been silent to those before us.
            if self.rests() { Err(ManagerError::Silent { manager }) } else { question.await }
        };
        let late = |_| Err(ManagerError::Late { manager, at: String::new(), within });
        let answer = timeout(within, asked).await.unwrap_or_else(late);
        if !matches!(answer, Err(ManagerError::Silent { .. })) {
            self.hear(answer.as_ref().err());
        }
        answer
    }

    fn rests(&self) -> bool {
        self.heard().rests_until.is_some_and(|until| until > Instant::now())
    }

    /// Takes note of an answer, or of why there was none; says so if that is news.
    pub fn hear(&self, error: Option<&ManagerError>) {
        let mut heard = self.heard();
        match error {
            Some(ManagerError::Late { .. }) => {
                let rest = LONGEST_REST.min(REST * 2_u32.saturating_pow(heard.silences.min(16)));
                heard.silences += 1;
                heard.rests_until = Some(Instant::now() + rest);
            }
            _ => (heard.silences, heard.rests_until) = (0, None),
        }
        let before = heard.up.replace(error.is_none());
        let manager = self.name();
        match (before, error) {
            (Some(true), Some(e)) => tracing::warn!(manager, "{}", printable(&e.to_string())),
            (None, Some(e)) => tracing::info!(manager, "{}", printable(&e.to_string())),
            (None | Some(false), None) => tracing::info!(manager, "answers"),
            _ => {}
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
