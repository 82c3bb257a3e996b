//! Questions over gRPC on a Unix socket, each bounded in time.

use std::{collections::HashMap, future::Future, io, path::PathBuf, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{Labels, ManagerError};

/// One container's facts: while a hook waits, its own budget is shorter.
pub const QUESTION: Duration = Duration::from_secs(2);
/// All that run, which may be hundreds.
pub const LISTING: Duration = Duration::from_secs(10);
/// Longest message taken, in bytes: what a kubelet takes.
pub const MAX_MESSAGE: usize = 16 << 20;
/// Longest reason passed on, in characters.
const MAX_WHY: usize = 256;

/// Whom we talk to.
#[derive(Debug, Clone)]
pub struct Peer {
    pub manager: &'static str,
    pub socket: PathBuf,
}

impl Peer {
    fn at(&self) -> String {
        self.socket.display().to_string()
    }

    /// The work's own answer, or that it came too late. What it has begun is dropped, and the connection with it.
    pub async fn within<T>(
        &self,
        bound: Duration,
        work: impl Future<Output = Result<T, ManagerError>>,
    ) -> Result<T, ManagerError> {
        let late = || ManagerError::Late { manager: self.manager, at: self.at(), within: bound };
        tokio::time::timeout(bound, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// A connection of one's own for each errand: none is left in a state that the next would inherit, and
    /// whoever restarts the manager finds nobody holding on to the old one.
    pub async fn connect(&self) -> Result<Channel, ManagerError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.absent(e))?;
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let once = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(once)
        });
        // The address is a form to be filled in; the connector has the real one.
        let endpoint = Endpoint::from_static("http://localhost");
        endpoint.connect_with_connector(connector).await.map_err(|e| self.absent(e))
    }

    pub fn absent(&self, why: impl ToString) -> ManagerError {
        ManagerError::Absent { manager: self.manager, at: self.at(), why: why.to_string() }
    }

    /// What the answer was, if it was none.
    pub fn failed(&self, status: &Status) -> ManagerError {
        let message: String = status.message().chars().take(MAX_WHY).collect();
        let why = format!("{}: {message:?}", status.code());
        match status.code() {
            // It is going down, or was restarted while we asked.
            Code::Unavailable => self.absent(why),
            _ => ManagerError::Failed { manager: self.manager, at: self.at(), why },
        }
    }

    /// None where the manager knows nothing of the kind.
    pub fn found<T>(&self, answer: Result<T, Status>) -> Result<Option<T>, ManagerError> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.failed(&status)),
        }
    }
}

pub fn sorted(labels: HashMap<String, String>) -> Labels {
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(socket: PathBuf) -> Peer {
        Peer { manager: "test", socket }
    }

    #[tokio::test]
    async fn nobody_there_is_absent_and_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let error = peer(dir.path().join("none.sock")).connect().await.unwrap_err();
        assert!(matches!(error, ManagerError::Absent { .. }), "{error}");
        assert!(error.to_string().contains("none.sock"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_late() {
        let silent = std::future::pending::<Result<(), ManagerError>>();
        let error = peer("/x".into()).within(Duration::from_millis(20), silent).await.unwrap_err();
        assert_eq!(error.to_string(), "test at /x did not answer within 20ms");
    }

    #[test]
    fn a_reason_is_bounded_and_escaped() {
        let status = Status::internal("\u{1b}[31m".repeat(1000));
        let why = peer("/x".into()).failed(&status).to_string();
        assert!(why.len() < 4 * MAX_WHY && !why.contains('\u{1b}'), "{why}");
        assert!(matches!(peer("/x".into()).found::<()>(Err(Status::not_found("c"))), Ok(None)));
        let gone = peer("/x".into()).failed(&Status::unavailable("closing"));
        assert!(matches!(gone, ManagerError::Absent { .. }), "{gone}");
    }
}
