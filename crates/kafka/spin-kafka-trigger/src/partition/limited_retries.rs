//! Ends a run in which a handler requests retries without an end, and notes what it filters.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Answer, Batch, Failure, Handler, Position, Rejection};

/// After this many retries of one batch in a row the run ends. A trigger without
/// `retry_attempts_max` would repeat the call without end.
pub(crate) const RETRIES_MAX: u32 = 5;

/// Ends an endless sequence of retries. Notes which records the handler filters.
pub(crate) struct LimitedRetries<H> {
    handler: H,
    retries_max: u32,
    /// Number of consecutive failures of each call that is repeated: of a batch, by the offset of
    /// its first record (batches of different keys are in progress at once), or of the query for
    /// the position.
    in_a_row: Mutex<HashMap<Option<i64>, u32>>,
    /// The offsets of the records that the handler filtered.
    filtered: Arc<Mutex<HashSet<i64>>>,
}

impl<H> LimitedRetries<H> {
    /// At most this many retries of one batch in a row are possible. The offsets of the records
    /// that the handler filters are added to `filtered`.
    pub fn new(handler: H, retries_max: u32, filtered: Arc<Mutex<HashSet<i64>>>) -> Self {
        Self { handler, retries_max, in_a_row: Mutex::default(), filtered }
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
        self.answer(Arc::new(batch.clone())).await?.only_rejections()
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        let first = batch.records.first().map_or(batch.start, |message| message.offset);
        let answer = self.handler.answer(batch).await;
        let repeats = matches!(answer, Err(Failure::Retry(_)));
        if let Ok(answer) = &answer {
            let mut filtered = self.filtered.lock().unwrap_or_else(PoisonError::into_inner);
            filtered.extend(&answer.filtered);
        }
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
