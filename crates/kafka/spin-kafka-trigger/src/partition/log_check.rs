//! Checks whether a partition's records are still in the log under which they are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};

use super::context::{TaskContext, TaskEnd};
use super::cursor::Cursor;
use crate::query::{QUIET_CHECKS, QueryRetry};

/// The pause after a broker that served records did not confirm the id of their log.
const CONFIRM_PAUSE: Duration = Duration::from_secs(1);
/// If nothing is read, another partition's answer about the same topic is reused for this long.
const REUSE_ANSWER: Duration = Duration::from_secs(4);
/// Log message for a failed check of a partition's log.
const NOT_CHECKED: &str = "it is not known whether the topic was deleted and created again";

/// Checks whether a topic was deleted and created again.
pub(crate) struct LogCheck {
    ctx: Arc<TaskContext>,
    /// Number of consecutive checks that failed.
    failed: AtomicU32,
}

impl LogCheck {
    pub fn new(ctx: Arc<TaskContext>) -> Self {
        Self { ctx, failed: AtomicU32::new(0) }
    }

    /// The topic's log id. The query is repeated until the cluster answers; the answer was
    /// requested at `not_before` or later.
    pub async fn log_id(&self, not_before: Instant) -> Result<Arc<str>, TaskEnd> {
        let ctx = &self.ctx;
        let mut retry = QueryRetry::new("log id");
        loop {
            match self.query(None, not_before).await? {
                Ok(log_id) => return Ok(log_id),
                Err(error) => {
                    ctx.pause(retry.failed(&ctx.topic, ctx.number, &error.to_string())).await?;
                }
            }
        }
    }

    /// Whether records that these brokers served belong to the log that the cursor names. Every
    /// broker is queried after the records were fetched. If a broker does not answer, the result is
    /// unknown, and the records must be fetched again.
    pub async fn is_from(&self, cursor: &mut Cursor, brokers: &[i32]) -> Result<bool, TaskEnd> {
        let fetched = Instant::now();
        for broker in brokers {
            match self.query(Some(*broker), fetched).await? {
                Ok(log_id) if log_id == cursor.log.id => {}
                Ok(_) => return Ok(false),
                Err(error) => {
                    let (topic, partition) = (&self.ctx.topic, self.ctx.number);
                    tracing::warn!(
                        %topic, partition, broker, %error,
                        "the broker did not confirm which log the records are from; reading them \
                         again"
                    );
                    self.ctx.pause(CONFIRM_PAUSE).await?;
                    return Ok(false);
                }
            }
        }
        cursor.checked = fetched;
        Ok(true)
    }

    /// Whether the topic was deleted and created again. If the cluster does not answer, the check
    /// is repeated with the next batch.
    pub async fn is_replaced(&self, cursor: &mut Cursor) -> bool {
        // Another partition of the topic may have sent the query already.
        let not_before = cursor.checked + REUSE_ANSWER;
        match self.query(None, not_before).await {
            Ok(Ok(log_id)) => {
                cursor.checked = Instant::now();
                self.failed.store(0, Ordering::Relaxed);
                log_id != cursor.log.id
            }
            Ok(Err(error)) => {
                self.count_failure(&error);
                false
            }
            Err(_) => false,
        }
    }

    fn count_failure(&self, error: &KafkaError) {
        let failed = self.failed.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (topic, partition) = (&self.ctx.topic, self.ctx.number);
        if failed <= QUIET_CHECKS {
            tracing::debug!(%topic, partition, failed, %error, "{NOT_CHECKED}");
        } else {
            tracing::warn!(%topic, partition, failed, %error, "{NOT_CHECKED}");
        }
    }

    /// The topic's log id according to this broker, or to any broker if none is given.
    async fn query(
        &self,
        broker: Option<i32>,
        not_before: Instant,
    ) -> Result<KafkaResult<Arc<str>>, TaskEnd> {
        let ids = &self.ctx.engine.log_ids;
        tokio::select! {
            () = self.ctx.stop.cancelled() => Err(TaskEnd::Stopped),
            answer = ids.get(&self.ctx.topic, broker, not_before) => Ok(answer),
        }
    }
}
