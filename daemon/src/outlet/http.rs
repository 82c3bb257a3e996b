//! One request, and what comes of it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::address::{Place, parse};

/// Of an answer no more than this is read.
const ANSWER: usize = 64 << 10;
/// Longest token, in bytes.
const TOKEN: u64 = 16 << 10;

/// Whom to send to by HTTP.
#[derive(Debug)]
pub struct Post {
    endpoint: String,
    token_file: Option<PathBuf>,
    timeout: Duration,
}

#[derive(Debug)]
pub enum Outcome {
    /// Taken; the answer's body.
    Taken(Bytes),
    /// To be sent again, not before what was asked for.
    Later(String, Option<Duration>),
    /// What was sent is at fault: sent again it would be refused again.
    Refused(String),
}

/// What is read out of the body of an answer that refuses.
pub type Told = fn(Bytes) -> String;

impl Post {
    pub fn new(endpoint: String, token_file: Option<PathBuf>, timeout: Duration) -> Self {
        Self { endpoint, token_file, timeout }
    }

    /// To a path behind the endpoint's own.
    pub async fn send(&self, path: &str, kind: &str, body: Vec<u8>, told: Told) -> Outcome {
        let done = tokio::time::timeout(self.timeout, self.request(path, kind, body, told)).await;
        match done {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(e)) => Outcome::Later(format!("{e:#}"), None),
            Err(_) => Outcome::Later(format!("no answer within {} s", self.timeout.as_secs_f64()), None),
        }
    }

    async fn request(&self, path: &str, kind: &str, body: Vec<u8>, told: Told) -> anyhow::Result<Outcome> {
        let (place, base) = parse(&self.endpoint).map_err(anyhow::Error::msg)?;
        let host = match &place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(_) => "localhost".to_owned(),
        };
        let target = match format!("{base}{path}") {
            none if none.is_empty() => "/".to_owned(),
            target => target,
        };
        let mut request = Request::post(target)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, kind)
            .header(header::USER_AGENT, concat!("remora/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &self.token_file {
            let token = read(file).map_err(|e| anyhow::anyhow!("failed to read {}: {e}", file.display()))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        match place {
            Place::Tcp(address) => talk(TcpStream::connect(address).await?, request, told).await,
            Place::Unix(path) => talk(UnixStream::connect(path).await?, request, told).await,
        }
    }
}

fn read(token_file: &Path) -> io::Result<String> {
    let mut token = String::new();
    File::open(token_file)?.take(TOKEN).read_to_string(&mut token)?;
    Ok(token)
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>, told: Told) -> anyhow::Result<Outcome>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let after = response.headers().get(header::RETRY_AFTER);
    let after = after.and_then(|v| v.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    connection.abort();
    let body = body.map_or_else(|_| Bytes::new(), |b| b.to_bytes());
    Ok(judge(status, after, body, told))
}

/// The body as it is: what most say why they refuse.
pub fn plain(body: Bytes) -> String {
    String::from_utf8_lossy(&body).trim().to_owned()
}

/// As OTLP says; but where not the data is at fault but how we or the receiver are set up (401, 404, …), what was sent is kept.
pub fn judge(status: StatusCode, after: Option<Duration>, body: Bytes, told: Told) -> Outcome {
    if status.is_success() {
        return Outcome::Taken(body);
    }
    let told: String = told(body).chars().take(200).collect();
    let why = format!(
        "{status}{}{}",
        if told.is_empty() { "" } else { ": " },
        crate::decode::text::printable(&told)
    );
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused(why),
        _ => Outcome::Later(why, after),
    }
}
