//! Writes what the batches of all partitions result in, in one transaction after the other.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backoff::Backoff;
use crate::consumer::Consumer;
use crate::lease::{Lease, Write};
use crate::offsets::{self, Commit};
use crate::refusal::advice;
use crate::transaction::{CALLS_MAX, Ended, TransactionalClient, WrittenRecord, is_retriable};
use crate::{Config, Metrics, native};

/// The most requests that wait for the next transaction. More partitions wait before the queue.
const REQUESTS_MAX: usize = 64;
/// The pauses before another client is created after one that could not begin.
const CONNECT_BACKOFF: Duration = Duration::from_millis(100);
const CONNECT_BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Why a request was not written.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nothing was written: a broker refuses the record at this index.
    Refused { index: usize, error: KafkaError },
    /// Nothing was written.
    Aborted { reason: String, advice: &'static str },
    /// It is not known whether it was written. If it was, the offset is committed by now.
    Unknown { reason: String, advice: &'static str },
    /// The task that writes has ended.
    Ended,
}

/// What one batch results in.
pub(crate) struct Request {
    pub consumer: Weak<Consumer>,
    /// The right of the partition's task to commit.
    pub lease: Arc<Lease>,
    pub commit: Commit,
    pub records: Arc<[WrittenRecord]>,
    /// Whether it needs its own transaction, because it may be the reason that one failed.
    pub is_alone: bool,
}

/// The task that writes. It ends when this value is dropped.
pub(crate) struct Transactions {
    queue: mpsc::Sender<Pending>,
    _end: DropGuard,
}

struct Pending {
    request: Request,
    /// While the request is written.
    write: Option<Write>,
    done: oneshot::Sender<Result<(), Fault>>,
}

impl Pending {
    /// Whether the partition's task has the right to commit, which must not pass to another member
    /// before this value is dropped.
    fn begin_write(&mut self) -> bool {
        self.write = self.request.lease.begin_write();
        self.write.is_some()
    }

    fn bytes(&self) -> usize {
        self.request.records.iter().map(|record| record.bytes).sum()
    }

    /// The task of the partition may not wait for this any more.
    fn answer(self, answer: Result<(), Fault>) {
        let _ = self.done.send(answer);
    }
}

impl Transactions {
    pub fn start(config: Config, metrics: Arc<Metrics>) -> Self {
        let (queue, requests) = mpsc::channel(REQUESTS_MAX);
        let ended = CancellationToken::new();
        let id = transactional_id(&config);
        let writer = Writer { config, id, metrics, client: None, ended: ended.clone() };
        tokio::spawn(writer.run(requests));
        Self { queue, _end: ended.drop_guard() }
    }

    /// Writes the records and commits the offset in one transaction; together with those of other
    /// partitions, unless it is to be alone.
    pub async fn write(&self, request: Request) -> Result<(), Fault> {
        let (done, answer) = oneshot::channel();
        if self.queue.send(Pending { request, write: None, done }).await.is_err() {
            return Err(Fault::Ended);
        }
        answer.await.unwrap_or(Err(Fault::Ended))
    }
}

/// The id of a static member remains the same, so that a restart at once aborts what the last
/// process left. It ends with the length of the group's name, so that no other group and instance
/// have the same one. Other members have a random one, which no process that still runs can have.
fn transactional_id(config: &Config) -> String {
    let group = &config.group;
    match config.instance_id.as_str() {
        "" => format!("{group}.{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
        instance => format!("{group}.{instance}.{}", group.len()),
    }
}

struct Writer {
    config: Config,
    id: String,
    metrics: Arc<Metrics>,
    client: Option<TransactionalClient>,
    ended: CancellationToken,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Pending>) {
        self.connect().await;
        let mut left = None;
        loop {
            let first = match left.take() {
                Some(first) => first,
                None => match queue.recv().await {
                    Some(first) => first,
                    None => break,
                },
            };
            let group;
            (group, left) = self.gather(first, &mut queue);
            self.write(group).await;
        }
        self.drop_client();
    }

    /// The requests for the next transaction, and one that does not fit.
    fn gather(
        &self,
        first: Pending,
        queue: &mut mpsc::Receiver<Pending>,
    ) -> (Vec<Pending>, Option<Pending>) {
        let (mut records, mut bytes) = (first.request.records.len(), first.bytes());
        let is_alone = first.request.is_alone;
        let mut group = vec![first];
        while !is_alone && let Ok(next) = queue.try_recv() {
            records += next.request.records.len();
            bytes += next.bytes();
            let is_full =
                records > self.config.output_records_max || bytes > self.config.output_bytes_max;
            if is_full || next.request.is_alone {
                return (group, Some(next));
            }
            group.push(next);
        }
        (group, None)
    }

    async fn write(&mut self, group: Vec<Pending>) {
        let (group, metadata) = match members_only(group).await {
            (group, _) if group.is_empty() => return,
            (group, Some(metadata)) => (group, metadata),
            (group, None) => {
                let reason = "the client is not a member of the group at this moment";
                return answer_all(group, || aborted(reason.into(), ""));
            }
        };
        let Some(client) = &self.client else {
            // The engine has ended.
            return answer_all(group, || aborted("there is no client".into(), ""));
        };
        let lists: Vec<_> = group.iter().map(|pending| pending.request.records.clone()).collect();
        let offsets = match offsets::to_commit(group.iter().map(|pending| &pending.request.commit))
        {
            Ok(offsets) => offsets,
            Err(error) => return answer_all(group, || aborted(error.to_string(), "")),
        };
        let begun = Instant::now();
        match client.write(&lists, offsets, metadata).await {
            Ended::Committed => {
                self.metrics.transactions.inc();
                self.metrics.transaction_seconds.observe(begun.elapsed().as_secs_f64());
                group.into_iter().for_each(|pending| pending.answer(Ok(())));
            }
            Ended::Refused { cause, refused } => {
                self.metrics.transaction_failures.inc();
                let refused = refused.into_iter().chain(std::iter::repeat_with(|| None));
                for (pending, refused) in group.into_iter().zip(refused) {
                    pending.answer(Err(match refused {
                        Some((index, error)) => Fault::Refused { index, error },
                        None => aborted(cause.to_string(), advice(&cause)),
                    }));
                }
            }
            Ended::Failed(error) => {
                self.metrics.transaction_failures.inc();
                tracing::warn!(
                    group = %self.config.group, %error,
                    "replacing the Kafka producer of transactions after an error"
                );
                // The next client completes or aborts the transaction. After that it is known.
                self.drop_client();
                self.connect().await;
                answer_all(group, || Fault::Unknown {
                    reason: error.to_string(),
                    advice: advice(&error),
                });
            }
        }
    }

    /// Creates a client, and repeats that until it is ready or the engine has ended.
    async fn connect(&mut self) {
        let mut backoff = Backoff::new(CONNECT_BACKOFF, CONNECT_BACKOFF_MAX);
        while !self.ended.is_cancelled() {
            let is_last = (backoff.attempts() + 1).is_multiple_of(CALLS_MAX);
            let Err(error) = self.init(is_last).await else { return };
            let (pause, transactional_id) = (backoff.next_pause(), &self.id);
            tracing::warn!(
                group = %self.config.group, transactional_id, error,
                pause_ms = pause.as_millis(),
                "cannot begin to write transactions yet; trying again"
            );
            tokio::select! {
                () = self.ended.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.drop_client();
    }

    /// Makes a client ready. One whose call timed out remains for the next call, which continues
    /// what librdkafka has begun, unless this is the last call.
    async fn init(&mut self, is_last: bool) -> Result<(), String> {
        let client = match self.client.take() {
            Some(client) => client,
            None => TransactionalClient::new(&self.config, &self.id)
                .map_err(|error| error.to_string())?,
        };
        let ready = client.init().await;
        self.client = Some(client);
        let Err(error) = ready else { return Ok(()) };
        if is_last || !is_retriable(&error) {
            self.drop_client();
        }
        Err(format!("{error}; {}", advice(&error)))
    }

    /// Dropping a client may block.
    fn drop_client(&mut self) {
        if let Some(client) = self.client.take() {
            tokio::task::spawn_blocking(move || drop(client));
        }
    }
}

/// The requests of partitions that this member owns, and the group's metadata. The metadata is
/// queried before the ownership is checked, so it cannot be that of a later generation in which
/// another member owns the partition.
async fn members_only(group: Vec<Pending>) -> (Vec<Pending>, Option<ConsumerGroupMetadata>) {
    let consumer = group.first().and_then(|pending| pending.request.consumer.upgrade());
    let query = move || consumer.and_then(|consumer| native::group_metadata(&*consumer));
    let metadata = tokio::task::spawn_blocking(query).await.ok().flatten();
    let (mut held, mut lost) = (Vec::new(), Vec::new());
    for mut pending in group {
        if pending.begin_write() { &mut held } else { &mut lost }.push(pending);
    }
    answer_all(lost, || aborted("the partition was revoked".into(), ""));
    (held, metadata)
}

fn aborted(reason: String, advice: &'static str) -> Fault {
    Fault::Aborted { reason, advice }
}

fn answer_all(group: Vec<Pending>, fault: impl Fn() -> Fault) {
    group.into_iter().for_each(|pending| pending.answer(Err(fault())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Extent;

    #[test]
    fn different_members_have_different_ids() {
        let id = |group: &str, instance: &str| {
            let config = Config::new("broker.invalid:9092", ["sales"], group);
            transactional_id(&config.instance_id(instance))
        };
        assert_eq!(id("orders", "eu.1"), "orders.eu.1.6");
        assert_eq!(id("orders.eu", "1"), "orders.eu.1.9");
        assert_ne!(id("orders", ""), id("orders", ""));
    }

    fn request(is_alone: bool) -> Request {
        Request {
            consumer: Weak::new(),
            lease: Arc::new(Lease::new()),
            commit: Commit {
                topic: "sales".into(),
                partition: 0,
                extent: Extent::up_to(1),
                partitions_at_start: None,
            },
            records: Arc::new([]),
            is_alone,
        }
    }

    #[tokio::test]
    async fn a_request_that_may_be_the_reason_of_a_failure_has_its_own_transaction() {
        let writer = Writer {
            config: Config::new("broker.invalid:9092", ["sales"], "group"),
            id: "id".into(),
            metrics: Arc::default(),
            client: None,
            ended: CancellationToken::new(),
        };
        let (queue, mut requests) = mpsc::channel(REQUESTS_MAX);
        for is_alone in [false, false, true, true, false] {
            let pending =
                Pending { request: request(is_alone), write: None, done: oneshot::channel().0 };
            queue.try_send(pending).unwrap();
        }
        drop(queue);
        let (mut left, mut sizes) = (None, Vec::new());
        while let Some(first) = left.take().or_else(|| requests.try_recv().ok()) {
            let group;
            (group, left) = writer.gather(first, &mut requests);
            sizes.push(group.len());
        }
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[tokio::test]
    async fn a_request_fails_if_the_task_has_ended() {
        let (queue, mut requests) = mpsc::channel(1);
        let transactions = Transactions { queue, _end: CancellationToken::new().drop_guard() };
        let take = async { drop(requests.recv().await) };
        let (written, ()) = tokio::join!(transactions.write(request(false)), take);
        assert!(matches!(written, Err(Fault::Ended)), "{written:?}");
        drop(requests);
        let written = transactions.write(request(false)).await;
        assert!(matches!(written, Err(Fault::Ended)), "{written:?}");
    }
}
