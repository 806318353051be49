//! The signals that end the program.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal as listen};

/// Time that tasks get to end once the program's work has ended. A component that is being compiled
/// does not hold up the end.
pub const TASKS_LIMIT: Duration = Duration::from_secs(1);

/// Resolves at the first SIGINT or SIGTERM after the call. To be called first of all: a container's
/// first process, which nobody has taught signals, does not even end by them.
pub fn signal() -> impl Future<Output = ()> + Send {
    let interrupt = listen(SignalKind::interrupt());
    let terminate = listen(SignalKind::terminate());
    async {
        match (interrupt, terminate) {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "cannot listen for signals; only SIGKILL ends the program");
                std::future::pending().await
            }
        }
    }
}
