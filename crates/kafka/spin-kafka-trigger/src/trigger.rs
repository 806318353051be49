//! Runs the engine, from its start to the end of the drain.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::group::Group;
use crate::replay::{self, Range, RecountRange, Selection};
use crate::{Config, Error, Handler, Metrics, Progress, letter_topics, monitor, poller};

/// How long the last commit and leaving the group may take, after the drain deadline.
const LEAVE_GRACE: Duration = Duration::from_secs(10);
/// The pause before joining the group again under a static name that the group still has.
const REJOIN_PAUSE: Duration = Duration::from_secs(5);

/// A consumer engine that is ready to run.
pub struct Trigger<H> {
    config: Config,
    handler: H,
    metrics: Arc<Metrics>,
    progress: Arc<Progress>,
}

/// The results of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Records applied.
    pub records: u64,
    /// Batches applied.
    pub batches: u64,
    /// Records that the handler rejected.
    pub rejections: u64,
    /// Records written to a dead-letter topic.
    pub dead_letters: u64,
    /// Batches that were dropped before the handler answered, at a drain deadline or because an
    /// assignment was lost. They are delivered again.
    pub unfinished: u64,
    /// Whether the offsets were committed and the group was left in time. If not, the group waits
    /// for the session timeout, and some batches may be delivered again.
    pub left_group: bool,
}

impl<H> fmt::Debug for Trigger<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trigger").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<H: Handler> Trigger<H> {
    /// Creates an engine without starting it. Fails if the settings are invalid.
    pub fn new(config: Config, handler: H) -> Result<Self, Error> {
        config.validate()?;
        let progress = Arc::new(Progress::new(&config));
        Ok(Self { config, handler, metrics: Arc::default(), progress })
    }

    /// The metrics. They can be read while the engine runs and after it has ended.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The progress of each partition, for use while the engine runs.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// [`Trigger::new`] and [`Trigger::until`] in one.
    pub async fn run(
        config: Config,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, Error> {
        Self::new(config, handler)?.until(shutdown).await
    }

    /// Consumes until `shutdown` resolves, then drains: it waits for batches in flight until the
    /// drain deadline, commits the offsets and leaves the group. An error means that the engine had
    /// to stop earlier; it has drained in that case, too.
    ///
    /// Unreachable brokers and brokers that refuse the client are not an error: the reason is
    /// logged, and the engine retries. If the future is dropped, the drain runs in the background.
    pub async fn until(self, shutdown: impl Future<Output = ()>) -> Result<Summary, Error> {
        let Self { config, handler, metrics, progress } = self;
        let handler = Arc::new(handler);
        let stop = CancellationToken::new();
        let member = async {
            loop {
                let (metrics, progress) = (metrics.clone(), progress.clone());
                let parts = Engine::new(config.clone(), handler.clone(), metrics, progress);
                match member(parts, stop.cancelled()).await {
                    Err(error @ Error::InstanceIdInUse { .. }) if !stop.is_cancelled() => {
                        let pause_s = REJOIN_PAUSE.as_secs();
                        tracing::warn!(%error, pause_s, "cannot join the group yet; trying again");
                        let _ = timeout(REJOIN_PAUSE, stop.cancelled()).await;
                    }
                    Err(error @ Error::NothingFetched { .. }) if !stop.is_cancelled() => {
                        tracing::warn!(%error, "using a new Kafka client");
                    }
                    ended => return ended,
                }
            }
        };
        let stopping = async {
            shutdown.await;
            stop.cancel();
            std::future::pending().await
        };
        tokio::select! {
            ended = member => ended,
            never = stopping => never,
        }
    }

    /// Passes a range of the topics' logs to the handler, outside the group: nothing is committed.
    /// Ends with the range, or when `shutdown` resolves. A handler that keeps its position
    /// recognizes what it has applied before. If it has no position yet, or one before the range,
    /// the replay is an error: it would determine which records are never counted.
    pub async fn replay(
        self,
        range: Range,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, Error> {
        self.outside_the_group(Selection::Replay(range), shutdown).await
    }

    /// Passes the records in these ranges that the handler has not applied yet to it, outside the
    /// group: nothing is committed. Ends with the last of them, or when `shutdown` resolves. The
    /// handler must keep its position. If it has none yet, it begins at the start of the range.
    ///
    /// This is for a handler with a store of its own. In the store of a group it would determine
    /// where the group begins to count.
    pub async fn recount(
        self,
        ranges: Vec<RecountRange>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, Error> {
        self.outside_the_group(Selection::Recount(ranges), shutdown).await
    }

    async fn outside_the_group(
        self,
        selection: Selection,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, Error> {
        let Self { config, handler, metrics, progress } = self;
        let reason =
            "must be empty for a replay or a recount, which would write the records once more";
        Error::check("output_topics", !config.is_transactional(), reason)?;
        let drain_deadline = config.drain_deadline;
        let (engine, failures) = Engine::new(config, Arc::new(handler), metrics, progress);
        let consumer = Group::without_membership(engine.clone())?;
        let (replayed, reading) = (engine.clone(), consumer.clone());
        let ended = async move {
            tokio::select! {
                () = shutdown => Ok(()),
                ended = replay::run(&replayed, &reading, selection) => ended,
            }
        };
        run(engine, consumer, failures, drain_deadline, ended).await
    }
}

/// Consumes as a member of the group until `stop`.
async fn member(
    (engine, failures): (Arc<Engine>, mpsc::Receiver<Error>),
    stop: impl Future<Output = ()>,
) -> Result<Summary, Error> {
    let drain_deadline = engine.config.drain_deadline;
    let consumer = Group::join(engine.clone())?;
    tokio::spawn(monitor::run(engine.clone(), consumer.clone()));
    tokio::spawn(letter_topics::check(engine.clone(), consumer.clone()));
    let stopped = async {
        stop.await;
        Ok(())
    };
    run(engine, consumer, failures, drain_deadline, stopped).await
}

/// Polls the client until `ended` resolves, then drains.
async fn run(
    engine: Arc<Engine>,
    consumer: Arc<Consumer>,
    mut failures: mpsc::Receiver<Error>,
    drain_deadline: Duration,
    ended: impl Future<Output = Result<(), Error>>,
) -> Result<Summary, Error> {
    // When this future ends or is dropped, the thread drains and leaves the group.
    let _stop = engine.stop.clone().drop_guard();
    let mut left = poller::start(engine.clone(), consumer)
        .map_err(|error| engine.group_error(format!("no thread to poll on: {error}")))?;

    let failure = tokio::select! {
        ended = ended => ended.err(),
        failure = failures.recv() => failure,
        // The thread ends before it is stopped only if it panics.
        _ = &mut left => Some(engine.group_error("the thread that polls the client ended unexpectedly")),
    };
    engine.stop.cancel();
    let limit = drain_deadline + LEAVE_GRACE;
    let left = !left.is_terminated() && matches!(timeout(limit, left).await, Ok(Ok(())));
    if !left {
        tracing::warn!(group = %engine.config.group, "the group was not left in time");
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(Summary::new(&engine.metrics, left)),
    }
}

impl Summary {
    pub(crate) fn new(metrics: &Metrics, left_group: bool) -> Self {
        Self {
            records: metrics.records.get(),
            batches: metrics.batches.get(),
            rejections: metrics.rejections.get(),
            dead_letters: metrics.dead_letters.get(),
            unfinished: metrics.unfinished.get(),
            left_group,
        }
    }
}
