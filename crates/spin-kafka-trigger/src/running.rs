//! A partition's task, seen from outside: stopping it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::lease::Lease;
use crate::partition::Partition;

/// An aborted task ends at its next await; this is for a runtime that is very busy.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// A partition that is being read.
pub(crate) struct Running {
    stop: CancellationToken,
    lease: Arc<Lease>,
    task: AbortHandle,
    /// Disconnected once the task and all it owned are gone.
    ended: Receiver<()>,
}

impl Running {
    pub fn spawn(engine: &Engine, partition: Partition, ended: Receiver<()>) -> Self {
        let (stop, lease) = (partition.stop.clone(), partition.lease.clone());
        let task = engine.runtime.spawn(partition.run()).abort_handle();
        Self { stop, lease, task, ended }
    }

    /// Whether the task ended in time.
    fn ended_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Nothing is ever sent: an error other than the timeout is the end.
        !matches!(self.ended.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }
}

/// Stops the tasks and lets batches in flight end by the deadline. No offset is stored after.
/// Blocks.
pub(crate) fn drain(mut running: Vec<Running>, deadline: Duration) {
    for partition in &running {
        partition.stop.cancel();
    }
    let deadline = Instant::now() + deadline;
    running.retain(|partition| {
        let in_time = partition.ended_by(deadline);
        partition.lease.revoke();
        !in_time
    });
    abort(running);
}

/// Drops the tasks with whatever they are doing. No offset is stored after. Blocks for a
/// moment.
pub(crate) fn abort(running: Vec<Running>) {
    for partition in &running {
        partition.lease.revoke();
        partition.stop.cancel();
        partition.task.abort();
    }
    // Their queues must be gone before the same partitions may come again: a queue has one
    // wake-up call, and an old owner's end would silence the new one's.
    let deadline = Instant::now() + ABORT_GRACE;
    if !running.iter().all(|partition| partition.ended_by(deadline)) {
        tracing::error!("partitions' tasks did not end; the runtime has no thread for them");
    }
}
