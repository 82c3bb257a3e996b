//! GET over docker's socket. Nothing here waits for a bounded time: that is up to the caller.

use std::path::Path;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

#[derive(Debug)]
pub enum HttpError {
    /// Nobody listens.
    Absent(String),
    Failed(String),
}

/// What came back, and the connection over which more of it comes.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    _connection: Connection,
}

/// Ends with its handle: a daemon that does not read would keep it for ever.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub async fn get(socket: &Path, target: &str) -> Result<Answer, HttpError> {
    let failed = |e: hyper::Error| HttpError::Failed(format!("failed to get {target}: {e}"));
    let stream = UnixStream::connect(socket).await.map_err(|e| HttpError::Absent(e.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // What goes wrong with the connection, its request tells.
    let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
    let request = Request::get(target).header("host", "docker").body(Empty::<Bytes>::new());
    let request = request.map_err(|e| HttpError::Failed(format!("failed to get {target}: {e}")))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        return Err(HttpError::Failed(format!("failed to get {target}: {status}")));
    }
    Ok(Answer { body: response.into_body(), _connection: connection })
}

impl Answer {
    /// All of it.
    pub async fn bytes(self, most: usize) -> Result<Bytes, String> {
        let whole = Limited::new(self.body, most).collect().await.map_err(|e| e.to_string())?;
        Ok(whole.to_bytes())
    }

    /// The next piece; None at the end.
    pub async fn more(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        while let Some(frame) = self.body.frame().await.transpose()? {
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
