//! Stops the tasks of partitions.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::lease::Lease;
use crate::partition::PartitionTask;

/// How long to wait for an aborted task. It ends at its next await, which takes time only on a very
/// busy runtime.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// A partition that is being read.
pub(crate) struct Running {
    stop: CancellationToken,
    lease: Arc<Lease>,
    task: AbortHandle,
    /// Disconnected when the task and everything it owned are gone.
    ended: Receiver<()>,
}

impl Running {
    pub fn spawn(engine: &Engine, task: PartitionTask, ended: Receiver<()>) -> Self {
        let (stop, lease) = (task.stop().clone(), task.lease().clone());
        let task = engine.runtime.spawn(task.run()).abort_handle();
        Self { stop, lease, task, ended }
    }

    /// Whether the task ended in time.
    fn ended_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Nothing is ever sent. Every error other than the timeout means that the task has ended.
        !matches!(self.ended.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }
}

/// Stops the tasks, and waits for batches in flight until the deadline. No offset is stored after
/// that. Blocks.
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

/// Aborts the tasks after the assignment was lost, and waits for their transactions within the
/// limit. Blocks. The member joins the group again only after this. Before that, no other member
/// gets the partitions in a generation that has the number of the lost one: a coordinator that
/// crashes during a rebalance uses the number again, and would accept the offsets of such a
/// transaction although another member has the partition.
pub(crate) fn lose(running: Vec<Running>, limit: Duration) {
    let leases: Vec<_> = running.iter().map(|partition| partition.lease.clone()).collect();
    abort(running);
    let deadline = Instant::now() + limit;
    if !leases.iter().all(|lease| lease.writes_ended_by(deadline)) {
        tracing::warn!("joining the group again although a transaction has not ended yet");
    }
}

/// Aborts the tasks. No offset is stored after that. Blocks for at most a second.
fn abort(running: Vec<Running>) {
    for partition in &running {
        partition.lease.revoke();
        partition.stop.cancel();
        partition.task.abort();
    }
    // Their queues must be gone before the same partitions may be assigned again. A queue has only
    // one callback, and dropping the old owner would remove the callback of the new one.
    let deadline = Instant::now() + ABORT_GRACE;
    if !running.iter().all(|partition| partition.ended_by(deadline)) {
        tracing::error!(
            "the tasks of partitions did not end in time: the runtime has no free thread"
        );
    }
}
