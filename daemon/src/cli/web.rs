//! `remora web`

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, bail};
use tokio::net::{TcpListener, UnixStream};

use crate::web::{Web, keys::Keys, serve};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  remora web\n  ssh -t -L 9759:127.0.0.1:9759 NODE remora web    # and open the link here\n  \
                  sudo remora web --changes"
)]
pub struct Args {
    /// Where to listen, on loopback; port 0 takes one that is free.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9759")]
    listen: SocketAddr,
    /// Also pass on what changes something, such as switching tracers, which root alone may. Without it, the page only reads.
    #[arg(long)]
    changes: bool,
    /// A file with a key of at least 16 characters that opens the page as often as one likes, in the place of links that are
    /// good once: for a service that nobody watches.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    if !args.listen.ip().is_loopback() {
        bail!("--listen {} is beyond loopback, where nobody else's words are safe: use ssh -L", args.listen);
    }
    // Now rather than in the browser.
    UnixStream::connect(&socket).await.with_context(|| {
        format!(
            "failed to reach the daemon at {}: is it running, and may you open the socket?",
            socket.display()
        )
    })?;
    let file = args.key_file.as_deref();
    let keys = Keys::new(file).with_context(|| {
        format!("failed to read key {}", file.map(|f| f.display().to_string()).unwrap_or_default())
    })?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| {
        format!("failed to listen on {}: --listen 127.0.0.1:0 takes a free port", args.listen)
    })?;
    let address = listener.local_addr()?;
    let keys = Arc::new(keys);
    let web = Web { socket, keys: keys.clone(), changes: args.changes };
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        () = serve(listener, web) => {}
        result = tell(&args, address, &keys) => result?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Says where the page is, and anew whenever a link was used.
async fn tell(args: &Args, address: SocketAddr, keys: &Keys) -> anyhow::Result<()> {
    let what = if args.changes { "for reading and switching" } else { "for reading only" };
    let mut links = keys.links();
    if let Some(file) = &args.key_file {
        say(&format!("The page, {what}, is at http://{address}/#KEY with the key in {}.", file.display()))?;
        return std::future::pending().await;
    }
    let link = |key: &str| format!("  http://{address}/#{key}");
    say(&format!("The page, {what}. This link is for one browser:"))?;
    say(&link(&links.borrow_and_update()))?;
    say("Ctrl-C ends it.")?;
    while links.changed().await.is_ok() {
        say("The link was opened. For another browser:")?;
        say(&link(&links.borrow_and_update()))?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
