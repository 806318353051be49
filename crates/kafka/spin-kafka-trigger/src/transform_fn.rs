//! Handlers that are functions and return records.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::{Answer, Batch, Failure, Handler, Rejection};

/// A handler that calls this function with each batch and writes the records that it returns. Each
/// input is consumed, and its outputs are written, exactly once: both are part of one Kafka
/// transaction. If the only broker of a cluster is killed, output may be written twice. The setting
/// `output_topics` names the topics that may be written.
///
/// What [`handler_fn`](crate::handler_fn) says of the function applies here, too, except that
/// [`Failure::Rewind`] and [`Failure::Lost`] are treated as [`Failure::Fatal`].
///
/// ```
/// use spin_kafka_trigger::{Answer, Config, OutgoingRecord, transform_fn};
///
/// let handler = transform_fn(|batch| async move {
///     let upper = |value: &[u8]| OutgoingRecord::new("loud", value.to_ascii_uppercase());
///     let values = batch.records.iter().filter_map(|record| record.value.as_deref());
///     Ok(Answer::from(values.map(upper).collect::<Vec<_>>()))
/// });
/// let config = Config::new("localhost:9092", ["quiet"], "shouters").output_topics(["loud"]);
/// # let _ = (handler, config);
/// ```
pub fn transform_fn<F, A>(function: F) -> TransformFn<F>
where
    F: Fn(Arc<Batch>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    TransformFn(function)
}

/// The handler that [`transform_fn`] returns.
#[derive(Clone, Copy)]
pub struct TransformFn<F>(F);

impl<F> fmt::Debug for TransformFn<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("TransformFn").field(&format_args!("_")).finish()
    }
}

impl<F, A> Handler for TransformFn<F>
where
    F: Fn(Arc<Batch>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        self.answer(Arc::new(batch.clone())).await?.only_rejections()
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        (self.0)(batch).await
    }
}
