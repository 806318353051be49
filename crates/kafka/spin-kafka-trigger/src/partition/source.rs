//! Applies the batches of a broker other than Kafka, with the code that applies those of a topic.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::applier::{Applier, PartitionPosition};
use super::context::{TaskContext, TaskEnd};
use super::handler_calls::{HandlerCalls, LostState};
use crate::batch::BatchBuilder;
use crate::engine::Engine;
use crate::extent::Extent;
use crate::filter::pass;
use crate::letter_sink::{LetterSink, LetterWriter};
use crate::partition_status::PartitionStatus;
use crate::trigger::Summary;
use crate::{Batch, Config, Error, Handler, Message, Metrics, Position, Progress};

/// The number of the only partition of a source.
const PARTITION: i32 = 0;

/// Applies the batches of one source, over all of its connections.
pub struct SourceEngine {
    engine: Arc<Engine>,
    name: Arc<str>,
}

impl fmt::Debug for SourceEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SourceEngine").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SourceEngine {
    /// An engine for the source of this name, which takes the place of a topic. Of the settings,
    /// those about filters, batches, the handler's calls, failed records and stalls have an effect,
    /// and `group`. Fails if one of them is invalid. Must be called within a tokio runtime.
    pub fn new<H: Handler>(
        config: Config,
        name: impl Into<Arc<str>>,
        handler: H,
        letters: Arc<dyn LetterWriter>,
    ) -> Result<Self, Error> {
        config.validate_handling()?;
        Error::check("output_topics", config.output_topics.is_empty(), "needs a topic of Kafka")?;
        let progress = Arc::new(Progress::new(&config));
        let letters = LetterSink::Writer(letters);
        let handler = Arc::new(handler);
        // The receiver gets only errors of a Kafka client.
        let (engine, _) =
            Engine::with_sinks(config, handler, Arc::default(), progress, letters, None);
        Ok(Self { engine, name: name.into() })
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.engine.metrics.clone()
    }

    /// The progress. A source has one partition.
    pub fn progress(&self) -> Arc<Progress> {
        self.engine.progress.clone()
    }

    /// The results of the run. `left` is whether the last connection was closed in time, and not
    /// lost.
    pub fn summary(&self, left: bool) -> Summary {
        Summary::new(&self.engine.metrics, left)
    }

    /// Notes whether records are received.
    pub fn set_receiving(&self, receives: bool) {
        self.engine.progress.set_member(receives);
        if receives {
            self.engine.progress.set_coverage(Vec::new(), None);
        }
    }

    /// Notes that the source does not exist at its broker.
    pub fn set_missing(&self) {
        self.engine.progress.set_coverage(vec![self.name.to_string()], None);
    }

    /// Notes that the broker cannot be reached, or refuses the client.
    pub fn set_unanswered(&self) {
        self.engine.progress.set_unanswered();
    }

    /// Adds a record to a batch, unless the filters drop it. It is then part of the batch without
    /// being handed over.
    pub fn gather(&self, record: Message, batch: &mut BatchBuilder) {
        if pass(&self.engine.config.filters, &record) {
            batch.push(record);
        } else {
            self.engine.metrics.filtered.inc();
            batch.pass_over(record.offset);
        }
    }

    /// Applies the batches of one connection, until `stop` is cancelled. `applied` is called with a
    /// number when all records before that number are applied or given up.
    pub fn applier(
        &self,
        stop: CancellationToken,
        applied: impl Fn(i64) + Send + Sync + 'static,
    ) -> BatchApplier {
        let status = self.engine.progress.add(&self.name, PARTITION);
        let ctx = Arc::new(TaskContext {
            engine: self.engine.clone(),
            consumer: (),
            topic: self.name.clone(),
            number: PARTITION,
            stop,
            is_replay: false,
        });
        let calls = Arc::new(HandlerCalls::new(ctx.clone()));
        let position = AppliedPosition { applied: Box::new(applied), status: status.clone() };
        let applier = Applier::new(ctx.clone(), calls.clone(), Arc::new(position), None);
        BatchApplier { ctx, calls, applier, status }
    }
}

/// The position up to which everything is applied.
struct AppliedPosition {
    applied: Box<dyn Fn(i64) + Send + Sync>,
    status: Arc<PartitionStatus>,
}

impl PartitionPosition for AppliedPosition {
    fn advance(&self, offset: i64, _: Extent) {
        self.status.advance(offset);
        (self.applied)(offset);
    }
}

/// Applies the batches of one connection.
pub struct BatchApplier {
    ctx: Arc<TaskContext<()>>,
    calls: Arc<HandlerCalls<()>>,
    applier: Applier<()>,
    status: Arc<PartitionStatus>,
}

impl fmt::Debug for BatchApplier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BatchApplier")
            .field("source", &self.ctx.topic)
            .finish_non_exhaustive()
    }
}

impl Drop for BatchApplier {
    fn drop(&mut self) {
        self.ctx.engine.progress.remove(&self.ctx.topic, PARTITION, &self.status);
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// All of its records are applied or given up.
    All,
    /// The handler's store has an earlier position of the same log than the one at which the batch
    /// begins.
    StoreLost {
        /// Its position.
        position: i64,
    },
}

/// Why a batch was not applied.
#[derive(Debug)]
pub enum ApplyEnd {
    /// The token was cancelled.
    Stopped,
    /// The engine must stop.
    Failed(Error),
}

impl From<TaskEnd> for ApplyEnd {
    fn from(end: TaskEnd) -> Self {
        match end {
            TaskEnd::Stopped => Self::Stopped,
            TaskEnd::Failed(error) => Self::Failed(error),
        }
    }
}

impl BatchApplier {
    /// Begins the log of this id, which the handler does not know. Returns whether the handler
    /// keeps its position.
    pub async fn begin(&self, log_id: &Arc<str>) -> Result<bool, ApplyEnd> {
        Ok(self.calls.position(log_id).await? != Position::Committed)
    }

    /// Applies a batch. If this is dropped before it resolves, the batch counts as unfinished.
    pub async fn apply(&self, batch: Batch, keeps_position: bool) -> Result<Applied, ApplyEnd> {
        let read = Extent::up_to(batch.end);
        let start = batch.start;
        match self.applier.apply(batch, keeps_position, read).await? {
            None => Ok(Applied::All),
            Some(LostState::From(position)) => Ok(Applied::StoreLost { position }),
            Some(LostState::All) => {
                let reason = "the handler says that it lost its position, but none was expected";
                Err(self.ctx.handler_error(start, reason).into())
            }
        }
    }

    /// Notes the time of the oldest record that was received and is not applied.
    pub fn set_oldest_received(&self, oldest_ms: Option<i64>) {
        self.status.set_oldest_pending(oldest_ms, None);
    }

    /// Notes the number after the last record that was received, and how many records the source
    /// has beyond it.
    pub fn set_waiting(&self, received: i64, waiting: u32) {
        self.status.set_log_end(received, received.saturating_add(waiting.into()));
    }
}
