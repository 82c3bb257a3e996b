//! A thread with an asynchronous runtime of its own: for work that must not delay those who serve hooks.

use std::{future::Future, io, thread::JoinHandle};

use tokio::sync::oneshot;

/// Told to end when it is dropped, and waited for.
#[derive(Debug)]
pub struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Resolves when the work is to end.
pub type Stopped = oneshot::Receiver<()>;

impl Worker {
    pub fn start<F: Future>(
        name: &str,
        work: impl FnOnce(Stopped) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build()?;
        let thread = std::thread::Builder::new().name(name.into()).stack_size(512 << 10);
        let thread = thread.spawn(move || {
            runtime.block_on(work(stopped));
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
