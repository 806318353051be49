//! Reads the queue on one connection: receives messages, applies batches, acknowledges.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use amqp_client::{close_channel, within};
use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use spin_kafka_trigger::Batch;
use spin_kafka_trigger::source::{
    Applied, ApplyEnd, BatchApplier, BatchBuilder, Gathered, SourceEngine,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::held::{Held, Origin};
use crate::queue::waiting;
use crate::{Config, message};

/// How often the broker is asked how many messages wait in the queue.
const WAITING_INTERVAL: Duration = Duration::from_secs(15);
/// The number of the first delivery of a channel.
const FIRST: i64 = 1;

/// Why reading on a connection ended.
pub(crate) enum SessionEnd {
    /// The trigger stops.
    Stopped,
    /// Nothing can be read on this connection any more, for this reason.
    Lost(String),
    /// The trigger must stop with an error.
    Failed(spin_kafka_trigger::Error),
}

impl From<String> for SessionEnd {
    fn from(reason: String) -> Self {
        Self::Lost(reason)
    }
}

/// Reads the queue on one connection. The number of a record is the number of its delivery in the
/// channel, which the broker counts from 1.
pub(crate) struct Session<'a> {
    config: &'a Config,
    engine: &'a SourceEngine,
    held: &'a Held,
    /// Cancelled when the trigger stops.
    stop: &'a CancellationToken,
    /// Cancelled when no further part of a batch may be handed over.
    stop_applying: CancellationToken,
    applier: Arc<BatchApplier>,
    /// The number before which everything is applied or given up.
    applied: watch::Receiver<i64>,
    log_id: Arc<str>,
    keeps_position: bool,
    connection: &'a Connection,
    channel: Channel,
    receiver: Receiver<'a>,
}

impl<'a> Session<'a> {
    /// Begins to read. Everything that was applied on earlier connections is new to this one: the
    /// broker counts its deliveries from 1 again, so the log has another id.
    pub async fn begin(
        config: &'a Config,
        engine: &'a SourceEngine,
        connection: &'a Connection,
        held: &'a Held,
        stop: &'a CancellationToken,
    ) -> Result<Self, SessionEnd> {
        held.clear();
        let stop_applying = stop.child_token();
        let (sender, applied) = watch::channel(FIRST);
        let applier = Arc::new(engine.applier(stop_applying.clone(), move |number| {
            sender.send_replace(number);
        }));
        let log_id: Arc<str> = format!("amqp/{:032x}", fastrand::u128(..)).into();
        let keeps_position = applier.begin(&log_id).await.map_err(ended)?;
        let channel = within(connection.create_channel()).await?;
        // The window of this consumer: RabbitMQ applies a limit that is not global to each consumer.
        within(channel.basic_qos(config.prefetch, BasicQosOptions::default())).await?;
        let queue = config.queue.as_str().into();
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue, "".into(), options, arguments);
        let consumer = within(consumer).await?;
        let receiver =
            Receiver { consumer, held, early: VecDeque::new(), received: Arc::new(FIRST.into()) };
        Ok(Self {
            config,
            engine,
            held,
            stop,
            stop_applying,
            applier,
            applied,
            log_id,
            keeps_position,
            connection,
            channel,
            receiver,
        })
    }

    /// Reads until the trigger stops, the connection is lost, or the handler cannot continue.
    pub async fn run(mut self) -> SessionEnd {
        self.engine.set_receiving(true);
        let (mut counting, connection, queue) = (None, self.connection, &self.config.queue);
        let (applier, received) = (self.applier.clone(), self.receiver.received.clone());
        let end = tokio::select! {
            end = self.apply_all() => end,
            never = count_waiting(&mut counting, connection, queue, applier, received) => never,
        };
        self.engine.set_receiving(false);
        if let Some(counting) = counting {
            close_channel(&counting).await;
        }
        close_channel(&self.channel).await;
        end
    }

    async fn apply_all(&mut self) -> SessionEnd {
        let mut builder =
            BatchBuilder::new(self.config.batch_records_max, self.config.batch_bytes_max);
        let mut start = FIRST;
        loop {
            let gathered = match self.gather(&mut builder).await {
                Ok(gathered) => gathered,
                Err(end) => return end,
            };
            let end = gathered.end;
            if let Err(end) = self.apply(start, gathered).await {
                return end;
            }
            start = end;
        }
    }

    /// Gathers messages until the batch is full, or `batch_wait` has passed since the first one.
    async fn gather(&mut self, builder: &mut BatchBuilder) -> Result<Gathered, SessionEnd> {
        let mut deadline = None;
        loop {
            if builder.is_full()
                && let Some(gathered) = builder.take()
            {
                return Ok(gathered);
            }
            if !builder.is_empty() {
                deadline.get_or_insert_with(|| Instant::now() + self.config.batch_wait);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(SessionEnd::Stopped),
                received = self.receiver.next() => self.engine.gather(received?, builder),
                () = at(deadline) => {
                    if let Some(gathered) = builder.take() {
                        return Ok(gathered);
                    }
                }
            }
        }
    }

    /// Applies a batch, and acknowledges its messages as they are applied. In the meantime, messages
    /// are received, so that the loss of the connection is noticed.
    async fn apply(&mut self, start: i64, gathered: Gathered) -> Result<(), SessionEnd> {
        let Gathered { records, end } = gathered;
        let oldest_ms = records.first().and_then(|record| record.timestamp_ms);
        self.applier.set_oldest_received(oldest_ms);
        let batch = Batch {
            topic: self.config.queue.as_str().into(),
            log_id: self.log_id.clone(),
            partition: 0,
            group: self.config.group.as_str().into(),
            // Another consumer of the queue may have stored its position after this one.
            expected_position: None,
            start,
            end,
            attempt: 1,
            records,
        };
        let mut lost = None;
        let mut drained_by = None;
        let applied = {
            let mut applying = std::pin::pin!(self.applier.apply(batch, self.keeps_position));
            loop {
                tokio::select! {
                    biased;
                    applied = &mut applying => break applied,
                    Ok(()) = self.applied.changed() => {
                        let acknowledged = acknowledge(&self.channel, self.held, &mut self.applied);
                        if let Err(reason) = acknowledged.await {
                            lost.get_or_insert(reason);
                        }
                    }
                    received = self.receiver.receive(), if lost.is_none() => {
                        lost = received.err();
                    }
                    () = self.stop.cancelled(), if drained_by.is_none() => {
                        drained_by = Some(Instant::now() + self.config.drain_deadline);
                    }
                    () = at(drained_by) => break Err(ApplyEnd::Stopped),
                }
                if lost.is_some() && drained_by.is_none() {
                    self.stop_applying.cancel();
                    drained_by = Some(Instant::now() + self.config.drain_deadline);
                }
            }
        };
        // What was applied is acknowledged, even if the trigger stops.
        let acknowledged = acknowledge(&self.channel, self.held, &mut self.applied).await;
        match (applied, lost, acknowledged) {
            (Err(ApplyEnd::Failed(error)), _, _) => Err(SessionEnd::Failed(error)),
            (_, Some(reason), _) | (_, None, Err(reason)) => Err(SessionEnd::Lost(reason)),
            (Ok(Applied::All), ..) => Ok(()),
            (Ok(Applied::StoreLost { position }), ..) => {
                Err(SessionEnd::Lost(store_lost(position, start)))
            }
            (Err(ApplyEnd::Stopped), ..) => Err(SessionEnd::Stopped),
        }
    }
}

/// Updates the number of messages that wait in the queue, without an end.
async fn count_waiting(
    channel: &mut Option<Channel>,
    connection: &Connection,
    queue: &str,
    applier: Arc<BatchApplier>,
    received: Arc<AtomicI64>,
) -> SessionEnd {
    let mut has_failed = false;
    loop {
        match query_waiting(channel, connection, queue).await {
            Ok(count) => {
                applier.set_waiting(received.load(Ordering::Relaxed), count);
                has_failed = false;
            }
            Err(reason) => {
                if !has_failed {
                    tracing::warn!(
                        queue,
                        reason,
                        "cannot find out how many messages wait in the queue; the lag is the last \
                         known one"
                    );
                }
                has_failed = true;
            }
        }
        sleep(WAITING_INTERVAL).await;
    }
}

/// Queries the number of messages that wait in the queue. The broker closes the channel with an
/// error, so the next query opens it again.
async fn query_waiting(
    channel: &mut Option<Channel>,
    connection: &Connection,
    queue: &str,
) -> Result<u32, String> {
    let channel = match channel.take().filter(|channel| channel.status().connected()) {
        Some(open) => channel.insert(open),
        None => channel.insert(within(connection.create_channel()).await?),
    };
    within(waiting(channel, queue)).await
}

/// Resolves at this time; never, if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Acknowledges the messages before the current number.
async fn acknowledge(
    channel: &Channel,
    held: &Held,
    applied: &mut watch::Receiver<i64>,
) -> Result<(), String> {
    let applied = *applied.borrow_and_update();
    if !held.has_before(applied) {
        return Ok(());
    }
    let last = u64::try_from(applied.saturating_sub(1)).unwrap_or_default();
    within(channel.basic_ack(last, BasicAckOptions { multiple: true })).await?;
    held.release(applied);
    Ok(())
}

/// The handler's store has an earlier position of this connection than the end of the last batch.
/// Nothing can be read again from the queue: only messages that are not acknowledged are delivered
/// again.
fn store_lost(position: i64, start: i64) -> String {
    let messages = start.saturating_sub(position);
    tracing::error!(
        messages,
        "the store has lost changes, and the queue no longer has their messages: they are not \
         counted"
    );
    format!("the store has lost the changes of {messages} messages")
}

fn ended(end: ApplyEnd) -> SessionEnd {
    match end {
        ApplyEnd::Stopped => SessionEnd::Stopped,
        ApplyEnd::Failed(error) => SessionEnd::Failed(error),
    }
}

/// Receives the deliveries of one consumer.
struct Receiver<'a> {
    consumer: Consumer,
    held: &'a Held,
    /// Deliveries that were received while a batch was being applied; with those of the batch at most
    /// `prefetch`.
    early: VecDeque<Delivery>,
    /// The number after that of the last delivery.
    received: Arc<AtomicI64>,
}

impl Receiver<'_> {
    /// The next record. Fails if there will be no further one.
    async fn next(&mut self) -> Result<spin_kafka_trigger::Message, String> {
        let mut delivery = match self.early.pop_front() {
            Some(delivery) => delivery,
            None => self.delivery().await?,
        };
        let number = number(&delivery);
        Ok(message::record(number, &mut delivery))
    }

    /// Receives one more delivery, which [`Receiver::next`] returns later.
    async fn receive(&mut self) -> Result<(), String> {
        let delivery = self.delivery().await?;
        self.early.push_back(delivery);
        Ok(())
    }

    async fn delivery(&mut self) -> Result<Delivery, String> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                let number = number(&delivery);
                self.received.store(number.saturating_add(1), Ordering::Relaxed);
                let origin = Origin {
                    exchange: delivery.exchange.clone(),
                    routing_key: delivery.routing_key.clone(),
                    properties: delivery.properties.clone(),
                };
                self.held.add(number, origin);
                Ok(delivery)
            }
            Some(Err(error)) => Err(error.to_string()),
            None => {
                Err("the broker cancelled the consumer, as it does when a queue is deleted".into())
            }
        }
    }
}

/// The number of a delivery in its channel.
fn number(delivery: &Delivery) -> i64 {
    // A channel would have to live for longer than the earth to reach the limit.
    i64::try_from(delivery.delivery_tag).unwrap_or(i64::MAX)
}

/// Waits, unless the trigger stops earlier.
pub(crate) async fn pause(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = sleep(pause) => {}
    }
}
