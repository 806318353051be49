//! Handlers that are functions.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::{Answer, Batch, Failure, Handler, Rejection};

/// A handler that calls this function with each batch. It keeps no position: reading begins at the
/// offset that the group has committed.
///
/// The batch is shared, so that the function may pass it to other tasks. A batch that is kept after
/// the answer is not part of `memory_bytes_max`. What the function captures is cloned for each call,
/// because the calls for several partitions may be in progress at the same time:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use spin_kafka_trigger::handler_fn;
///
/// let count = Arc::new(AtomicUsize::new(0));
/// let counted = count.clone();
/// let handler = handler_fn(move |batch| {
///     let counted = counted.clone();
///     async move {
///         counted.fetch_add(batch.records.len(), Ordering::Relaxed);
///         Ok(Vec::new())
///     }
/// });
/// # let _ = handler;
/// ```
///
/// An `async` closure that borrows what it captures is not accepted: Rust cannot express yet that
/// its future may be sent to another thread. A handler that keeps its position, or has much state,
/// implements [`Handler`].
pub fn handler_fn<F, A>(function: F) -> HandlerFn<F>
where
    F: Fn(Arc<Batch>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Vec<Rejection>, Failure>> + Send + 'static,
{
    HandlerFn(function)
}

/// The handler that [`handler_fn`] returns.
#[derive(Clone, Copy)]
pub struct HandlerFn<F>(F);

impl<F> fmt::Debug for HandlerFn<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("HandlerFn").field(&format_args!("_")).finish()
    }
}

impl<F, A> Handler for HandlerFn<F>
where
    F: Fn(Arc<Batch>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Vec<Rejection>, Failure>> + Send + 'static,
{
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        (self.0)(Arc::new(batch.clone())).await
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        (self.0)(batch).await.map(Answer::from)
    }
}
