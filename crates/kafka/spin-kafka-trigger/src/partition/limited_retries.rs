//! Ends a run in which a handler requests retries without an end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::{Batch, Failure, Handler, Position, Rejection};

/// After this many retries of one batch in a row the run ends. A trigger without
/// `retry_attempts_max` would repeat the call without end.
pub(crate) const RETRIES_MAX: u32 = 5;

/// Ends an endless sequence of retries.
pub(crate) struct LimitedRetries<H> {
    handler: H,
    retries_max: u32,
    /// Number of consecutive failures of each call that is repeated: of a batch, by the offset of
    /// its first record (batches of different keys are in progress at once), or of the query for
    /// the position.
    in_a_row: Mutex<HashMap<Option<i64>, u32>>,
}

impl<H> LimitedRetries<H> {
    /// At most this many retries of one batch in a row are possible.
    pub fn new(handler: H, retries_max: u32) -> Self {
        Self { handler, retries_max, in_a_row: Mutex::default() }
    }

    /// The answer, or a fatal failure if it would be repeated too often.
    fn limit<T>(
        &self,
        call: Option<i64>,
        max: u32,
        answer: Result<T, Failure>,
        repeats: bool,
    ) -> Result<T, Failure> {
        let attempts = {
            let mut in_a_row = self.in_a_row.lock().unwrap_or_else(PoisonError::into_inner);
            if !repeats {
                in_a_row.remove(&call);
                return answer;
            }
            let attempts = in_a_row.entry(call).or_default();
            *attempts += 1;
            *attempts
        };
        match answer {
            Err(
                Failure::Retry(reason)
                | Failure::Trap(reason)
                | Failure::Deadline(reason)
                | Failure::Memory(reason),
            ) if attempts > max => Err(Failure::Fatal(format!(
                "{attempts} attempts failed, and the trigger would repeat the call without a \
                 limit: {reason}"
            ))),
            answer => answer,
        }
    }
}

impl<H: Handler> Handler for LimitedRetries<H> {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        let answer = self.handler.handle(batch).await;
        let repeats = matches!(answer, Err(Failure::Retry(_)));
        let first = batch.records.first().map_or(batch.start, |message| message.offset);
        self.limit(Some(first), self.retries_max, answer, repeats)
    }

    async fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        let answer = self.handler.position(group, topic, log_id, partition).await;
        let repeats = answer.is_err();
        self.limit(None, RETRIES_MAX, answer, repeats)
    }
}
