//! One connection of a caller: what it may take its time for, and what becomes of one that does not read.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::http::Request;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tower::Service;

use super::listener::Bounds;

/// How long an answer waits for a caller that takes nothing of it.
const READING: Duration = Duration::from_secs(15);
/// Largest head of a request, in bytes.
const HEAD_MAX: usize = 16 << 10;

/// What became of callers, since the daemon started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Hung up on, since they took nothing for too long.
    pub slow: AtomicU64,
    /// Sent away, since there were too many.
    pub busy: AtomicU64,
    /// Sent away, since it was a page of somebody else's that asked.
    pub foreign: AtomicU64,
    /// Told that they missed events.
    pub gaps: AtomicU64,
}

/// Serves a connection to its end.
pub async fn serve<T, S>(stream: T, service: S, bounds: &Bounds, counts: Arc<Counts>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = axum::response::Response, Error = std::convert::Infallible>,
    S: Clone + Send,
    S::Future: Send,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.asking).max_buf_size(HEAD_MAX);
    // Who is idle takes no place.
    http.keep_alive(bounds.whole.is_none());
    let stream = TokioIo::new(Patient { stream, stalled: None, counts });
    let _ = http.serve_connection(stream, TowerToHyperService::new(service)).await;
}

/// A stream whose writes fail when the other side takes nothing for a while.
struct Patient<T> {
    stream: T,
    stalled: Option<Pin<Box<Sleep>>>,
    counts: Arc<Counts>,
}

impl<T> Patient<T> {
    fn heed<R>(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
        let end = self.stalled.get_or_insert_with(|| Box::pin(sleep(READING)));
        ready!(end.as_mut().poll(context));
        self.stalled = None;
        self.counts.slow.fetch_add(1, Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, to)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.heed(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.heed(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn patient(stream: tokio::io::DuplexStream) -> (Patient<tokio::io::DuplexStream>, Arc<Counts>) {
        let counts = Arc::<Counts>::default();
        (Patient { stream, stalled: None, counts: counts.clone() }, counts)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_hung_up_on_and_counted() {
        let (here, _there) = duplex(64);
        let (mut here, counts) = patient(here);
        let error = here.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!((error.kind(), counts.slow.load(Relaxed)), (io::ErrorKind::TimedOut, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_at_a_time_is_served() {
        let (here, mut there) = duplex(64);
        let (mut here, counts) = patient(here);
        let reading = async {
            for _ in 0..20 {
                sleep(READING / 2).await;
                there.read_exact(&mut [0; 50]).await.unwrap();
            }
        };
        let (wrote, ()) = tokio::join!(here.write_all(&[0; 1000]), reading);
        wrote.unwrap();
        assert_eq!(counts.slow.load(Relaxed), 0);
    }
}
