//! Shows the figures in the terminal until the user quits.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crossterm::event::EventStream;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::draw::{Palette, draw};
use crate::keys::Choices;
use crate::sources::{Source, Sources, Update};
use crate::state::{Now, State};
use crate::terminal::Terminal;
use crate::view::View;

/// Interval at which each source is read. A slow source is read less often.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Interval at which the terminal is drawn, in addition to each key.
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Answers that wait to be shown; the sources are not read while there are more.
const UPDATES_MAX: usize = 64;

/// Runs until the user quits, `interrupt` resolves, or the terminal is closed.
pub async fn run(sources: Sources, mut interrupt: BoxFuture<'static, ()>) -> Result<ExitCode> {
    let mut state = State::new(&sources);
    let (sender, mut updates) = mpsc::channel(UPDATES_MAX);
    let mut readers = JoinSet::new();
    for source in sources.all() {
        readers.spawn(read_repeatedly(sources.clone(), source, sender.clone()));
    }
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut quit = signal(SignalKind::quit()).context("cannot listen for SIGQUIT")?;
    let mut terminal = Terminal::open().context("cannot prepare the terminal; use --once")?;
    let (mut events, mut ticks) = (EventStream::new(), interval(DRAW_EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut choices, palette) = (Choices::default(), Palette::of_environment());
    let mut view = View::new(&state, Now::read());
    loop {
        tokio::select! {
            () = &mut interrupt => break,
            () = received(&mut hangup) => break,
            () = received(&mut quit) => break,
            Some(_) = readers.join_next() => bail!("a task that reads the figures has failed"),
            Some(update) = updates.recv() => {
                state.apply(update, Now::read());
                continue;
            }
            event = events.next() => {
                let Some(event) = event else { break };
                if choices.handle(&event.context("cannot read the keys")?) {
                    break;
                }
            }
            _ = ticks.tick() => {}
        }
        if !choices.is_paused {
            view = View::new(&state, Now::read());
        }
        terminal
            .draw(|frame| draw(frame, &view, &mut choices, palette))
            .context("cannot draw on the terminal")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a source until the receiver is dropped.
async fn read_repeatedly(sources: Sources, source: Source, updates: mpsc::Sender<Update>) {
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if updates.send(sources.read(source).await).await.is_err() {
            return;
        }
    }
}

/// Resolves when the signal is received.
async fn received(signal: &mut Signal) {
    signal.recv().await;
}
