//! The one loop that takes callers in, over TCP and on the Unix socket, within bounds: who connects and says nothing keeps
//! nobody else out for long.

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::Router;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::connection::{self, Counts};

#[derive(Debug)]
pub struct Bounds {
    /// Served at a time.
    pub connections: usize,
    pub beyond: Beyond,
    /// How long a caller may take for the head of a request, and keep a connection that it does not use.
    pub asking: Duration,
    /// How long a connection may last, which then has one request only. Without it, as long as it is used.
    pub whole: Option<Duration>,
}

/// What becomes of one for whom there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// It stays in the backlog, where places are soon free again.
    Waits,
    /// It is told to come again; root is let in all the same.
    SentAway,
}

/// Who opened a connection, as the kernel says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// None: it came over the network.
    pub uid: Option<u32>,
}

impl Caller {
    pub fn is_root(&self) -> bool {
        self.uid == Some(0)
    }
}

pub trait Listener {
    type Stream: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>>;

    fn caller(stream: &Self::Stream) -> Caller;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }

    fn caller(stream: &UnixStream) -> Caller {
        Caller { uid: stream.peer_cred().ok().map(|c| c.uid()) }
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }

    fn caller(_: &TcpStream) -> Caller {
        Caller { uid: None }
    }
}

/// Serves until the future is dropped; each request has its `Caller` as an extension.
pub async fn serve<L: Listener>(listener: L, router: Router, bounds: &'static Bounds, counts: Arc<Counts>) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        if bounds.beyond == Beyond::Waits {
            // Given back at once: nobody but this loop takes places.
            let _ = places.acquire().await;
        }
        let stream = match listener.next().await {
            Ok(stream) => stream,
            Err(e) => {
                tracing::warn!("failed to accept a connection: {e}");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let caller = L::caller(&stream);
        let place = places.clone().try_acquire_owned().ok();
        if place.is_none() && !caller.is_root() {
            counts.busy.fetch_add(1, Relaxed);
            send_away(&stream);
            continue;
        }
        let service = router.clone().map_request(move |mut request: hyper::Request<_>| {
            request.extensions_mut().insert(caller.clone());
            request
        });
        let counts = counts.clone();
        tokio::spawn(async move {
            let _place = place;
            let connection = connection::serve(stream, service, bounds, counts);
            let _ = timeout(bounds.whole.unwrap_or(Duration::MAX), connection).await;
        });
    }
}

/// As far as the socket takes it: nobody waits for one who is too many.
fn send_away(stream: &impl AsFd) {
    let busy = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let _ = nix::unistd::write(stream.as_fd(), busy);
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What the second of two hears while the first one, who keeps the only place, stays for a while.
    async fn second(bounds: &'static Bounds) -> (String, u64) {
        let (listener, counts) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::<Counts>::default());
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "served"));
        let serving = tokio::spawn(serve(listener, router, bounds, counts.clone()));
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        first.read_exact(&mut [0; 15]).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut said = Vec::new();
        let hear = async {
            second.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            // Reset behind the answer, where the request was not read.
            let _ = second.read_to_end(&mut said).await;
        };
        timeout(Duration::from_secs(20), hear).await.expect("nobody answers");
        drop(first);
        serving.abort();
        (String::from_utf8(said).unwrap(), counts.busy.load(Relaxed))
    }

    #[tokio::test]
    async fn who_is_too_many_waits_or_is_told() {
        const ONE: Bounds =
            Bounds { connections: 1, beyond: Beyond::Waits, asking: Duration::from_millis(300), whole: None };
        const TOLD: Bounds = Bounds { beyond: Beyond::SentAway, asking: Duration::from_secs(60), ..ONE };
        let (said, busy) = second(&ONE).await;
        assert!(said.starts_with("HTTP/1.0 200") && said.ends_with("served") && busy == 0, "{said}");
        let (said, busy) = second(&TOLD).await;
        assert!(said.starts_with("HTTP/1.1 503") && busy == 1, "{said}");
    }
}
