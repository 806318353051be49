//! The signals that end the program.

use tokio::signal::unix::{SignalKind, signal as listen};

/// Resolves at the first SIGINT or SIGTERM.
pub async fn signal() {
    let interrupt = listen(SignalKind::interrupt());
    let terminate = listen(SignalKind::terminate());
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the system ends the process at the signal, which is the next best.
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "cannot listen for signals; the first one ends without a drain");
            std::future::pending().await
        }
    }
}
