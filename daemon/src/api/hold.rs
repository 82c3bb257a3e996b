//! A tracer for as long as the answer is read: on with the request, off when the connection ends, however it does.

use std::time::Duration;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tokio::sync::oneshot;

use super::changes::{NamedPair, Root, changed};
use super::{Api, events, not_a_name, problem};
use crate::registry::Handle;
use crate::registry::change::Change;
use crate::registry::hold::{Hold, Newcomer};
use crate::registry::record::is_meant;

/// How long the last records may take from the ring to their readers.
const LAST: Duration = Duration::from_millis(100);

/// This end of what is held: dropped with the answer, which the registry is told to look at.
#[derive(Debug)]
pub struct Held {
    over: oneshot::Receiver<()>,
    is_over: bool,
    registry: Handle,
}

impl Held {
    /// Returns when there is nothing to hold any more: the container has ended, or the tracer was taken from it.
    pub async fn is_over(&mut self) {
        if !self.is_over {
            let _ = (&mut self.over).await;
            self.is_over = true;
        }
        tokio::time::sleep(LAST).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.over.close();
        let registry = self.registry.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { registry.look().await });
        }
    }
}

/// `POST /v1/containers/ID/tracers/NAME/hold`
pub async fn hold(_: Root, State(api): State<Api>, headers: HeaderMap, path: NamedPair) -> Response {
    let Ok(Path((container, tracer))) = path else { return not_a_name() };
    let newcomer = match newcomer(&api, &container).await {
        Ok(newcomer) => newcomer,
        Err(why) => return problem(StatusCode::CONFLICT, &why),
    };
    let (holder, over) = oneshot::channel();
    // From here on it is let go of, whatever becomes of this request.
    let held = Held { over, is_over: false, registry: api.registry.clone() };
    let after = api.hub.newest();
    let hold = Hold { container, tracer: tracer.clone(), holder, newcomer };
    match changed(&api, Change::Hold(hold)).await {
        Ok(answer) => {
            let id = answer["id"].as_str().unwrap_or_default().to_owned();
            events::of_held(api, &headers, (id, tracer), after, held)
        }
        Err(response) => response,
    }
}

/// Looked for only if nobody of that name is in scope.
async fn newcomer(api: &Api, wanted: &str) -> Result<Option<Newcomer>, String> {
    let known = api.registry.list().await;
    if known.iter().any(|c| c.state == "running" && is_meant(wanted, &c.id, &c.name)) {
        return Ok(None);
    }
    api.desk.find(wanted, &api.runtime_roots).await
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, routing::post};
    use futures_util::stream;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{UnixListener, UnixStream},
        sync::mpsc,
        time::timeout,
    };

    use super::*;
    use crate::registry::Command;

    /// An answer that says nothing, and holds.
    fn silent(held: Held) -> Response {
        let body = stream::unfold(held, |mut held| async move {
            held.is_over().await;
            None::<(Result<String, std::convert::Infallible>, Held)>
        });
        Response::new(Body::from_stream(body))
    }

    #[tokio::test]
    async fn a_connection_that_ends_lets_go_though_nothing_was_to_be_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (own, mut commands) = mpsc::channel(4);
        let (registry, (holder, over)) = (Handle::new(own), oneshot::channel::<()>());
        let held = std::sync::Mutex::new(Some(Held { over, is_over: false, registry }));
        let held = std::sync::Arc::new(held);
        let app = Router::new().route("/", post(async move || silent(held.lock().unwrap().take().unwrap())));
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut client = UnixStream::connect(&path).await.unwrap();
        client.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        let mut head = [0; 15];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        assert!(!holder.is_closed());
        drop(client);
        let told = timeout(Duration::from_secs(10), commands.recv()).await.expect("nobody was told");
        assert!(matches!(told, Some(Command::Look)) && holder.is_closed());
    }
}
