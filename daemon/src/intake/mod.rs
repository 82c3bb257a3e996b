//! The hook's socket: one bounded frame in, one ack out, each peer within its time, and notices that found
//! nobody home.

mod spool;

use anyhow::Context;
use std::{os::fd::AsFd, sync::Arc, time::Duration};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use remora_wire::{Ack, Notice, Stage, frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

pub use spool::replay;

use crate::config::Hook;
use crate::manager::desk::Desk;
use crate::registry::Peer;

/// Serves until the future is dropped.
pub async fn serve(listener: UnixListener, config: Hook, desk: Desk) {
    let peers = Arc::new(Semaphore::new(config.peers));
    loop {
        // Whoever finds all places taken waits in the backlog, within the hook's own budget.
        let Ok(place) = peers.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("failed to accept on the hook socket: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (desk, config) = (desk.clone(), config.clone());
        tokio::spawn(async move {
            let _place = place;
            if let Err(e) = peer(stream, &config, &desk).await {
                tracing::warn!("hook's peer refused: {e}");
            }
        });
    }
}

async fn peer(mut stream: UnixStream, config: &Hook, desk: &Desk) -> anyhow::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let refusal = if uid != 0 && !config.rootless {
        Some(format!("user {uid} may not speak here: hook.rootless is off"))
    } else {
        None
    };
    // The peer's time is for what the peer does; how long a tracer takes to load is not its fault.
    let read = match refusal {
        None => timeout(config.peer_timeout, read(&mut stream)).await.context("no whole frame in time")?,
        Some(_) => Ok(None),
    };
    let (ack, error) = match (refusal, read) {
        (Some(why), _) => (Ack { ok: false, message: why.clone() }, Some(why)),
        (None, Ok(Some(notice))) => {
            let late = given_up(&stream, &notice);
            (desk.notice(notice, Peer { uid }, late).await, None)
        }
        // Connected and went: somebody looked whether we are there.
        (None, Ok(None)) => return Ok(()),
        (None, Err(e)) => (Ack { ok: false, message: e.to_string() }, Some(e.to_string())),
    };
    // A hook that ran out of budget has gone; the notice counts all the same.
    let _ = timeout(config.peer_timeout, stream.write_all(&frame::encode(&ack)?)).await;
    if let Some(error) = error {
        anyhow::bail!("user {uid}: {error}");
    }
    Ok(())
}

async fn read(stream: &mut UnixStream) -> anyhow::Result<Option<Notice>> {
    let mut header = [0; 8];
    match stream.read(&mut header[..1]).await? {
        0 => return Ok(None),
        _ => stream.read_exact(&mut header[1..]).await?,
    };
    let mut body = vec![0; frame::body_len(header)?];
    stream.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// A hook that has gone let the container go on.
fn given_up(stream: &UnixStream, notice: &Notice) -> Option<String> {
    let mut peer = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let gone = poll(&mut peer, PollTimeout::ZERO).is_ok_and(|n| n > 0);
    let waited = Duration::from_nanos(remora_wire::time::unix_ns().saturating_sub(notice.at));
    let told =
        || format!("the daemon did not answer in time; the notice waited {:.1} s", waited.as_secs_f64());
    (gone && notice.stage != Stage::Poststop).then(told)
}
