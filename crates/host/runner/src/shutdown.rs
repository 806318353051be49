//! The signals that end the program.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal as listen};

/// How long tasks may take to end after the work of the program has ended. A component that is
/// still being compiled does not delay the end.
pub const TASKS_LIMIT: Duration = Duration::from_secs(1);

/// The number that shells add to a signal's number to form the exit code of a program that the
/// signal ended.
const ENDED_BY_SIGNAL: i32 = 128;

/// Resolves at the first SIGINT or SIGTERM after the call. A second signal of the same kind ends
/// the program at once; the other kind does not, because Ctrl-C under `spin up` gives the plugin a
/// SIGINT from the terminal and a SIGTERM from Spin.
///
/// Call this before anything else: process 1 of a container ignores these signals until a handler
/// is installed.
pub fn signal() -> impl Future<Output = ()> + Send {
    let signals = Signals::listen();
    async {
        match signals {
            Ok(mut signals) => {
                let first = signals.next().await;
                tokio::spawn(signals.end_program(first));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot listen for signals; only SIGKILL ends the program");
                std::future::pending().await
            }
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    /// The next signal.
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }

    /// Ends the program, without waiting for anything, when a signal is repeated.
    async fn end_program(mut self, first: SignalKind) {
        let mut signal = self.next().await;
        if signal != first {
            // Both kinds have been received, so the next signal is a repetition.
            signal = self.next().await;
        }
        tracing::warn!("the signal was repeated; the program ends at once");
        std::process::exit(ENDED_BY_SIGNAL + signal.as_raw_value());
    }
}
