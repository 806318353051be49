//! The signals that end the program.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal as listen};

/// Time that tasks get to end once the program's work has ended. A component that is being compiled
/// does not hold up the end.
pub const TASKS_LIMIT: Duration = Duration::from_secs(1);

/// What a shell adds to a signal's number to say that it ended a program.
const ENDED_BY_SIGNAL: i32 = 128;

/// Resolves at the first SIGINT or SIGTERM after the call. The same signal a second time ends the
/// program at once; the other one does not, because Ctrl-C under `spin up` gives the plugin a
/// SIGINT from the terminal and a SIGTERM from Spin.
///
/// To be called first of all: a container's first process, which nobody has taught signals, does
/// not even end by them.
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

    /// The next one of them.
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }

    /// Ends the program when a signal is repeated, without waiting for anything.
    async fn end_program(mut self, first: SignalKind) {
        let mut signal = self.next().await;
        if signal != first {
            // Both have come now, so the next one is a repetition.
            signal = self.next().await;
        }
        tracing::warn!("the signal was repeated; the program ends at once");
        std::process::exit(ENDED_BY_SIGNAL + signal.as_raw_value());
    }
}
