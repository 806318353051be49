//! Prints the figures once.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use futures::future::{BoxFuture, join_all};

use crate::plain;
use crate::sources::Sources;
use crate::state::{Now, State};
use crate::view::View;

/// Time between the two readings from which the rates are computed.
const BETWEEN: Duration = Duration::from_secs(1);

/// Prints the figures. The exit code says whether the pipeline is healthy.
pub async fn run(sources: &Sources, interrupt: BoxFuture<'static, ()>) -> Result<ExitCode> {
    let state = tokio::select! {
        state = read(sources) => state,
        () = interrupt => return Ok(ExitCode::FAILURE),
    };
    printing::result(plain::text(&View::new(&state, Now::read())))?;
    Ok(if state.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads all sources twice, because a rate needs two values. If something is wrong, the first
/// answers are enough.
async fn read(sources: &Sources) -> State {
    let mut state = State::new(sources);
    read_all(sources, &mut state).await;
    if state.is_healthy() {
        tokio::time::sleep(BETWEEN).await;
        read_all(sources, &mut state).await;
    }
    state
}

async fn read_all(sources: &Sources, state: &mut State) {
    for update in join_all(sources.all().map(|source| sources.read(source))).await {
        state.apply(update, Now::read());
    }
}
