//! The task of one partition: find the position, read, hand over, store the offset.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::group::Consumer;
use crate::lease::Lease;
use crate::reader::{Read, Reader};
use crate::{Batch, Error};

/// How long a topic's identity is taken for granted while its records are read. A topic that
/// is deleted and made again between two rebalances is noticed after this time at the latest.
const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// A partition that this member owns.
pub(crate) struct Partition {
    pub engine: Arc<Engine>,
    pub consumer: Arc<Consumer>,
    pub topic: Arc<str>,
    pub number: i32,
    pub stop: CancellationToken,
    pub lease: Arc<Lease>,
    reader: Reader,
    /// Says that the task is gone. The last field: dropped after the reader's queue.
    _end: Sender<()>,
}

/// Where a partition is being read.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub log_id: Arc<str>,
    /// When the log's identity was last checked.
    pub checked: Instant,
    /// The next batch's start.
    pub start: i64,
    /// Where the client reads: `start`, or the log's start if that is gone.
    pub read_from: i64,
}

/// Why a partition's task ends.
pub(crate) enum Halt {
    /// The partition is given back.
    Stopped,
    /// The engine must stop.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Failed(error)
    }
}

impl Partition {
    /// Splits the partition's queue; the receiver tells when the task and all it owns are gone.
    pub fn split(
        engine: &Arc<Engine>,
        consumer: &Arc<Consumer>,
        topic: &str,
        number: i32,
    ) -> Option<(Self, Receiver<()>)> {
        let topic = Arc::from(topic);
        let reader = Reader::split(engine, consumer, &topic, number)?;
        let (end, ended) = channel();
        let partition = Self {
            engine: engine.clone(),
            consumer: consumer.clone(),
            topic,
            number,
            stop: engine.stop.child_token(),
            lease: Arc::new(Lease::new()),
            reader,
            _end: end,
        };
        Some((partition, ended))
    }

    /// Reads until stopped. A fault that no retry can help stops the engine.
    pub async fn run(mut self) {
        if let Err(Halt::Failed(error)) = self.consume().await {
            self.engine.fail(error);
        }
    }

    async fn consume(&mut self) -> Result<(), Halt> {
        let mut cursor = self.locate(Instant::now()).await?;
        self.seek(cursor.read_from).await?;
        self.resume().await?;
        loop {
            self.reader.begin(cursor.read_from);
            cursor = self.follow(cursor).await?;
            self.seek(cursor.read_from).await?;
        }
    }

    /// Hands over batch after batch; answers where to seek when the order of reading breaks.
    async fn follow(&mut self, mut cursor: Cursor) -> Result<Cursor, Halt> {
        loop {
            let messages = match self.reader.next(&self.stop).await? {
                Read::Records(messages) => messages,
                Read::Truncated => return self.relocate(&cursor).await,
                Read::Stopped => return Err(Halt::Stopped),
            };
            if cursor.checked.elapsed() >= LOG_CHECK_INTERVAL
                && self.log_replaced(&mut cursor).await
            {
                return self.relocate(&cursor).await;
            }
            let Some(last) = messages.last() else { continue };
            let batch = Batch {
                topic: self.topic.clone(),
                log_id: cursor.log_id.clone(),
                partition: self.number,
                start: cursor.start,
                end: last.offset + 1,
                messages,
            };
            let end = batch.end;
            match self.apply(batch).await? {
                None => cursor.start = end,
                Some(position) => {
                    return Ok(Cursor { start: position, read_from: position, ..cursor });
                }
            }
        }
    }

    /// Stores the offset for the next commit, unless the partition was given away.
    pub fn store(&self, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        let stored = self.lease.while_held(|| {
            let stored = offsets
                .add_partition_offset(&self.topic, self.number, Offset::Offset(offset))
                .and_then(|()| self.consumer.store_offsets(&offsets));
            if let Err(error) = stored {
                let (topic, partition) = (&self.topic, self.number);
                tracing::warn!(%topic, partition, offset, %error, "offset was not stored");
            }
        });
        if !stored {
            let (topic, partition) = (&self.topic, self.number);
            tracing::debug!(%topic, partition, offset, "too late to store the offset");
        }
    }

    /// A fault of the handler, at `offset`.
    pub fn fault(&self, offset: i64, reason: impl Into<String>) -> Halt {
        Halt::Failed(Error::Handler {
            topic: self.topic.to_string(),
            partition: self.number,
            offset,
            reason: reason.into(),
        })
    }

    /// Waits, unless the partition is given back meanwhile.
    pub async fn pause(&self, pause: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Halt::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

impl Drop for Partition {
    /// A bug in the task must not leave the partition unread in silence.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.engine.fail_group(format!("{}/{}: its task panicked", self.topic, self.number));
        }
    }
}
