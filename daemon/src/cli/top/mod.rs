//! `remora top`: containers and tracers as they are now, on a whole terminal.

mod draw;
mod sample;
mod state;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, bail};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

use sample::Watch;
use state::State;

/// How long a look may take, so that a daemon that is wedged leaves keys alive.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Keys: up and down choose, Enter goes into a container, Esc goes back, t shows tracers, c containers,\ns sorts by the next column, q ends.\n\nExample:\n  remora top --interval 5"
)]
pub struct Args {
    /// Seconds between looks.
    #[arg(short, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

pub async fn run(args: Args, socket: PathBuf) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!("top needs a terminal; for programs there is `remora ps --format json`, and /metrics");
    }
    let (mut state, mut watch) = (State::default(), Watch::new(socket));
    // What is wrong now is told before the screen is taken.
    state.take(watch.look(state.inside()).await?);
    let mut ends = Ends::new()?;
    let mut keys = keys()?;
    let mut screen = Screen(ratatui::try_init().context("failed to take the terminal")?);
    let interval = Duration::from_secs(args.interval);
    let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + interval.min(LOOK), interval);
    loop {
        screen.0.draw(|frame| draw::all(frame.buffer_mut(), &mut state)).context("failed to draw")?;
        let mut again = false;
        tokio::select! {
            () = ends.any() => return Ok(()),
            _ = looks.tick() => again = true,
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => match state.key(key) {
                    state::Then::End => return Ok(()),
                    state::Then::Look => again = true,
                    state::Then::Draw => {}
                },
                Some(_) => {}
                None => return Ok(()),
            },
        }
        if again {
            match timeout(LOOK, watch.look(state.inside())).await {
                Ok(Ok(sample)) => state.take(sample),
                Ok(Err(e)) => state.problem = Some(format!("{e:#}")),
                Err(_) => state.problem = Some("the daemon does not answer".into()),
            }
        }
    }
}

/// The terminal is put back however this ends; after a panic the hook that came with it does so.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What ends programs, beside keys.
struct Ends([tokio::signal::unix::Signal; 3]);

impl Ends {
    fn new() -> io::Result<Self> {
        let of = |kind| signal(kind);
        Ok(Self([of(SignalKind::terminate())?, of(SignalKind::interrupt())?, of(SignalKind::hangup())?]))
    }

    async fn any(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Keys and changes of size, from a thread that goes with the program.
fn keys() -> io::Result<mpsc::Receiver<Event>> {
    let (tell, keys) = mpsc::channel(64);
    let read = move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keys".into()).spawn(read)?;
    Ok(keys)
}
