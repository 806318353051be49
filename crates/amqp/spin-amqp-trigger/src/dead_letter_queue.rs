//! The contents of a dead-letter queue, for operators.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use amqp_client::headers::KEY;
use amqp_client::{
    ANSWER_LIMIT, Answer, Publication, Published, REGULAR_CLOSE, Returned, open_channel, publish,
    within,
};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use spin_kafka_trigger::{DeadLetter, LetterCounts, ReplayLimits, SentBack, headers};
use tokio::time::Instant;

use crate::config::NAME_BYTES_MAX;
use crate::letters::{PERSISTENT, headers as own};
use crate::queue::waiting;
use crate::{Config, Error, message};

/// The most letters that are published before they are removed from the queue.
const CHUNK_LETTERS: usize = 100;
/// The most bytes of letters that are published before that. A larger letter is published alone.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// The longest part of a message id that is made from a header of a letter, in characters, of which each
/// has at most four bytes. A message id has at most 255 bytes.
const IDENTITY_PART_CHARS: usize = 30;
/// The headers with which a quorum queue counts the deliveries of a message. The counts are those of the
/// letter, or of earlier messages.
const DELIVERY_HEADERS: [&str; 2] = ["x-acquired-count", "x-delivery-count"];
/// The name in the broker's list of connections.
const NAME: &str = "doorbuster dlq";

/// A dead-letter queue.
///
/// All letters in it are open: one that is sent back is removed from it. The number of a letter is its
/// place in the queue, from 1. The letters are received without an acknowledgement and returned to
/// the queue at the end, which counts as one delivery of each of them. In the meantime no other
/// consumer receives them.
pub struct DeadLetterQueue {
    connection: Arc<Connection>,
    queue: String,
}

impl fmt::Debug for DeadLetterQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeadLetterQueue")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl DeadLetterQueue {
    /// Connects to the broker of the trigger. `queue` is the queue of the dead letters; without a name,
    /// the one to which the default exchange routes them. The queue that the trigger reads is refused.
    pub async fn open(config: &Config, queue: Option<&str>) -> Result<Self, Error> {
        let address = config.validate()?;
        let queue = match queue {
            Some(queue) => queue.to_owned(),
            None if config.dead_letter_exchange.is_empty() => config.letter_routing_key(),
            None => {
                let reason = "which queue gets the letters of an exchange is not known: name it";
                return Err(Error::setting("dead_letter_exchange", reason));
            }
        };
        if queue.is_empty() || queue.len() > NAME_BYTES_MAX {
            let reason = "the name of a queue has 1 to 255 bytes".into();
            return Err(Error::Letters { queue, reason });
        }
        if queue == config.queue {
            let reason = "the trigger reads it: its messages are no dead letters".into();
            return Err(Error::Letters { queue, reason });
        }
        match address.connect(NAME).await {
            Ok(connection) => Ok(Self { connection, queue }),
            Err(error) => {
                let reason = format!("cannot connect to {}: {error}", address.public());
                Err(Error::Letters { queue, reason })
            }
        }
    }

    /// How many letters there are. Those that another consumer has received are not counted.
    pub async fn counts(&self) -> Result<LetterCounts, Error> {
        let channel = self.channel().await?;
        let count = self.waiting(&channel).await?.into();
        self.close(channel).await?;
        Ok(LetterCounts { all: count, open: count })
    }

    /// Reads the letters that are in the queue now, in their order, until `visit` breaks.
    pub async fn read(
        &self,
        mut visit: impl FnMut(DeadLetter) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let channel = self.channel().await?;
        for number in 1..=i64::from(self.waiting(&channel).await?) {
            let Some(mut delivery) = self.next(&channel).await? else { break };
            if visit(letter(number, &mut delivery)).is_break() {
                break;
            }
        }
        self.close(channel).await
    }

    /// Publishes the letters that are in the queue now, in their order, to the queues that they came from,
    /// with the message's own properties and headers, as far as the letter has them: it is persistent and
    /// does not expire, and has the key of the record, but no user id, `CC`, `BCC`, or headers with which
    /// RabbitMQ counts deliveries. After the broker has confirmed a letter, it is removed, and `report` is called.
    ///
    /// A letter that cannot be sent stays in the queue, and `report` gets the reason; the others are sent.
    /// If the process or the connection ends between the confirms and the removal, up to 100 letters
    /// are in both queues, and the next run sends them again. A message without an id gets one that
    /// names its letter, so that a component can recognise such a duplicate.
    pub async fn replay(
        &self,
        limits: ReplayLimits,
        report: impl FnMut(SentBack),
    ) -> Result<(), Error> {
        let channel = self.channel().await?;
        let count = self.waiting(&channel).await?;
        let mut run = Run { letters: self, channel, publisher: None, sent: 0, report };
        let ended = run.send_all(count, limits).await;
        // What was not removed returns into the queue.
        let closed = self.close(run.channel).await;
        ended.and(closed)
    }

    /// Deletes the first letters of those that are in the queue now, at most `max`, until `visit` breaks.
    /// `visit` gets each letter before it is deleted; one for which it breaks stays in the queue. A message
    /// that is not a dead letter stays, too, and is an error.
    pub async fn delete(
        &self,
        max: u64,
        mut visit: impl FnMut(DeadLetter) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let channel = self.channel().await?;
        let count = u64::from(self.waiting(&channel).await?).min(max);
        for number in (1..).take_while(|number: &i64| number.unsigned_abs() <= count) {
            let Some(mut delivery) = self.next(&channel).await? else { break };
            let letter = letter(number, &mut delivery);
            if letter.header(headers::TOPIC).is_none() {
                self.close(channel).await?;
                let topic = headers::TOPIC;
                return Err(self.error(format!(
                    "the message at 0/{number} is not a dead letter, because it has no header {topic}; \
                     it and those behind it were not deleted"
                )));
            }
            if visit(letter).is_break() {
                break;
            }
            let ack = channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default());
            within(ack).await.map_err(|reason| self.error(reason))?;
        }
        self.close(channel).await
    }

    async fn channel(&self) -> Result<Channel, Error> {
        within(self.connection.create_channel()).await.map_err(|reason| self.error(reason))
    }

    async fn waiting(&self, channel: &Channel) -> Result<u32, Error> {
        within(waiting(channel, &self.queue)).await.map_err(|reason| self.error(reason))
    }

    async fn next(&self, channel: &Channel) -> Result<Option<Delivery>, Error> {
        let options = BasicGetOptions { no_ack: false };
        let received = within(channel.basic_get(self.queue.as_str().into(), options)).await;
        let received = received.map_err(|reason| self.error(reason))?;
        Ok(received.map(|message| message.delivery))
    }

    /// Closes the channel, after which the broker has handled all acknowledgements.
    async fn close(&self, channel: Channel) -> Result<(), Error> {
        let closed = within(channel.close(REGULAR_CLOSE, ShortString::default())).await;
        closed.map_err(|reason| self.error(format!("letters may still be in the queue: {reason}")))
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Letters { queue: self.queue.clone(), reason: reason.into() }
    }
}

/// One run that sends letters back.
struct Run<'a, F> {
    letters: &'a DeadLetterQueue,
    /// The channel on which letters are received.
    channel: Channel,
    /// The channel on which they are published; none before the first one, and after a fault.
    publisher: Option<Channel>,
    /// The letters that were sent back.
    sent: u64,
    report: F,
}

/// Letters for one queue.
#[derive(Default)]
struct Chunk {
    queue: String,
    bytes: usize,
    /// The numbers of the letters, and of their deliveries.
    numbers: Vec<(i64, u64)>,
    messages: Vec<Publication>,
}

impl Chunk {
    fn has_space_for(&self, queue: &str, bytes: usize) -> bool {
        self.messages.is_empty()
            || self.queue == queue
                && self.messages.len() < CHUNK_LETTERS
                && self.bytes + bytes <= CHUNK_BYTES
    }
}

impl<F: FnMut(SentBack)> Run<'_, F> {
    async fn send_all(&mut self, count: u32, limits: ReplayLimits) -> Result<(), Error> {
        let mut chunk = Chunk::default();
        let count = u32::try_from(limits.tried_max).map_or(count, |max| count.min(max));
        for number in 1..=i64::from(count) {
            // Letters of the chunk may be refused, and then further ones are sent instead.
            if self.sent + chunk.messages.len() as u64 >= limits.sent_max {
                self.send(std::mem::take(&mut chunk)).await?;
            }
            if self.sent >= limits.sent_max {
                break;
            }
            let Some(mut delivery) = self.letters.next(&self.channel).await? else { break };
            let letter = letter(number, &mut delivery);
            let queue = match origin(&letter, &self.letters.queue) {
                Ok(queue) => queue.to_owned(),
                Err(reason) => {
                    self.leave(number, reason);
                    continue;
                }
            };
            let bytes = letter.record.content_bytes();
            if !chunk.has_space_for(&queue, bytes) {
                self.send(std::mem::take(&mut chunk)).await?;
            }
            chunk.queue = queue;
            chunk.bytes += bytes;
            chunk.numbers.push((number, delivery.delivery_tag));
            let properties = original_properties(&delivery.properties, &letter);
            let body = letter.record.value.map(Into::into).unwrap_or_default();
            chunk.messages.push(Publication { properties, body });
        }
        self.send(chunk).await
    }

    /// Publishes the letters, then removes those that were confirmed.
    async fn send(&mut self, chunk: Chunk) -> Result<(), Error> {
        let Chunk { queue, numbers, messages, .. } = chunk;
        if messages.is_empty() {
            return Ok(());
        }
        let publisher = match self.publisher.take() {
            Some(open) => open,
            None => {
                let opened = open_channel(&self.letters.connection).await;
                opened.map_err(|reason| self.letters.error(reason))?
            }
        };
        let (exchange, routing_key) = (ShortString::default(), queue.as_str().into());
        let deadline = Instant::now() + ANSWER_LIMIT;
        let Published { answers, channel, .. } =
            publish(publisher, &exchange, &routing_key, messages, deadline, ()).await;
        self.publisher = channel;
        let returned = Returned::of(&answers);
        let (mut count, mut failed) = (0, None);
        for ((number, delivery), answer) in numbers.into_iter().zip(answers) {
            match outcome(answer, returned, &queue) {
                Outcome::Confirmed => {
                    let ack = self.channel.basic_ack(delivery, BasicAckOptions::default());
                    if let Err(reason) = within(ack).await {
                        failed = Some(format!(
                            "letters were sent back, but could not be removed; the next replay sends \
                             them again: {reason}"
                        ));
                        break;
                    }
                    count += 1;
                }
                Outcome::Refused(reason) => self.leave(number, reason),
                Outcome::Unknown(reason) => {
                    failed = Some(format!(
                        "letters were not confirmed; they may have been published, but they remain in \
                         the queue: {reason}"
                    ));
                }
            }
        }
        if count > 0 {
            self.sent += count;
            (self.report)(SentBack::Sent(count));
        }
        match failed {
            Some(reason) => Err(self.letters.error(reason)),
            None => Ok(()),
        }
    }

    fn leave(&mut self, number: i64, reason: String) {
        (self.report)(SentBack::Left { partition: 0, offset: number, reason });
    }
}

/// What happened to a letter that was published.
enum Outcome {
    Confirmed,
    /// It is not in the queue that it came from.
    Refused(String),
    /// It may be in that queue.
    Unknown(String),
}

fn outcome(answer: Answer, returned: Returned, queue: &str) -> Outcome {
    match (answer, returned) {
        (Some(Ok(_)), Returned::All) => Outcome::Refused(format!("queue {queue} does not exist")),
        (Some(Ok(_)), Returned::Some) => {
            Outcome::Unknown(format!("queue {queue} was created or deleted in the meantime"))
        }
        (Some(Ok(Confirmation::Ack(_))), Returned::None) => Outcome::Confirmed,
        (Some(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)), Returned::None) => {
            Outcome::Refused(format!("queue {queue} did not accept it: check its length limit"))
        }
        (Some(Err(error)), _) => Outcome::Unknown(error.to_string()),
        (None, _) => Outcome::Unknown("no answer from the broker in time".into()),
    }
}

/// The letter with this number. Its key is that of the original message.
fn letter(number: i64, delivery: &mut Delivery) -> DeadLetter {
    let has_key = has_header(&delivery.properties, KEY);
    let record = message::record(number, delivery);
    let mut letter = DeadLetter { partition: 0, open: true, record };
    if !has_key && let Some(key) = letter.header(own::ROUTING_KEY) {
        letter.record.key = Some(key.to_owned().into());
    }
    letter
}

fn has_header(properties: &BasicProperties, name: &str) -> bool {
    properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key(name))
}

/// The queue that the letter came from, or why it cannot be sent there.
fn origin<'a>(letter: &'a DeadLetter, own_queue: &str) -> Result<&'a str, String> {
    let Some(queue) = letter.header(headers::TOPIC) else {
        return Err(format!("it has no header {}, which names its queue", headers::TOPIC));
    };
    if let Some(bytes) = letter.header(headers::OMITTED_BYTES) {
        return Err(format!("it was written without the {bytes} bytes of its headers"));
    }
    if queue.is_empty() || queue.len() > NAME_BYTES_MAX {
        return Err("the name of its queue does not have 1 to 255 bytes".into());
    }
    if queue == own_queue {
        return Err(format!("it came from {queue} itself"));
    }
    Ok(queue)
}

/// The properties of the original message. The letter is published to its queue directly, so the
/// routing key becomes the key of the record.
fn original_properties(properties: &BasicProperties, letter: &DeadLetter) -> BasicProperties {
    let is_added = |name: &str| {
        let mut prefixes = headers::PREFIXES.iter().chain(&[own::PREFIX]);
        prefixes.any(|prefix| name.starts_with(prefix)) || DELIVERY_HEADERS.contains(&name)
    };
    let mut kept = FieldTable::default();
    if let Some(headers) = properties.headers() {
        for (name, value) in headers.inner() {
            if !is_added(name.as_str()) {
                kept.insert(name.clone(), value.clone());
            }
        }
    }
    if !has_header(properties, KEY) {
        let key = letter.record.key.as_deref().unwrap_or_default();
        kept.insert(KEY.into(), AMQPValue::LongString(key.into()));
    }
    let mut original = properties.clone().with_headers(kept).with_delivery_mode(PERSISTENT);
    if properties.message_id().as_ref().is_none_or(|id| id.as_str().is_empty()) {
        original = original.with_message_id(identity(letter).into());
    }
    original
}

/// A message id for a message that has none: the number of its delivery, and when it was given up.
fn identity(letter: &DeadLetter) -> String {
    let header = |name| -> String {
        letter.header(name).unwrap_or("-").chars().take(IDENTITY_PART_CHARS).collect()
    };
    format!("letter/{}/{}", header(headers::OFFSET), header(headers::TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_to_the_letter_is_left_out() {
        let mut table = FieldTable::default();
        for name in ["x-acquired-count", "x-delivery-count"] {
            table.insert(name.into(), AMQPValue::LongLongInt(3));
        }
        for name in ["x-own", headers::TOPIC, headers::TIME, own::ROUTING_KEY] {
            table.insert(name.into(), AMQPValue::LongString("posts".into()));
        }
        let mut delivery = Delivery::mock(1, "".into(), "letters".into(), true, b"x".into());
        delivery.properties =
            BasicProperties::default().with_headers(table).with_message_id("m1".into());
        let letter = letter(1, &mut delivery);
        let original = original_properties(&delivery.properties, &letter);
        let names: Vec<_> = original.headers().as_ref().unwrap().inner().keys().collect();
        let mut names: Vec<&str> = names.into_iter().map(ShortString::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, [KEY, "x-own"]);
        assert_eq!(original.message_id(), delivery.properties.message_id());
    }
}
