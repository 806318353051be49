//! Publishes messages of one route, on a channel without other messages.
//!
//! With messages of several routes, it would not be known which of them was returned as unroutable:
//! lapin assigns a returned message to the next confirm on the channel, and RabbitMQ confirms
//! messages in any order.

use std::pin::Pin;

use futures::future::{MaybeDone, join_all, maybe_done};
use futures::poll;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::within;

/// A message without its route.
#[derive(Debug)]
pub struct Publication {
    /// Its properties.
    pub properties: BasicProperties,
    /// Its body.
    pub body: Vec<u8>,
}

/// The answer to one message; `None` if there was none in time.
pub type Answer = Option<lapin::Result<Confirmation>>;

/// Which messages of a group were returned because no queue was bound for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// None of them.
    None,
    /// Some, and it is not known which: the route changed while they were published.
    Some,
    /// All of them.
    All,
}

impl Returned {
    /// Which messages of the group with these answers were returned.
    pub fn of(answers: &[Answer]) -> Self {
        let is_returned = |answer: &&Answer| {
            matches!(answer, Some(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))))
        };
        match answers.iter().filter(is_returned).count() {
            0 => Self::None,
            count if count == answers.len() => Self::All,
            _ => Self::Some,
        }
    }
}

/// Opens a channel with publisher confirms. Fails with the reason.
pub async fn open_channel(connection: &Connection) -> Result<Channel, String> {
    let channel = within(connection.create_channel()).await?;
    within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// What is known of a group at the deadline, or when every message was answered.
#[derive(Debug)]
pub struct Published<R> {
    /// One answer for each message.
    pub answers: Vec<Answer>,
    /// The channel, if it can be used again: if every message was confirmed, or refused by its queue.
    pub channel: Option<Channel>,
    /// The room of the messages, if every one is sent.
    pub room: Option<R>,
}

/// Publishes the messages in their order, and waits for their confirms until the deadline. The channel
/// must have no other messages in the meantime. Must be called within a tokio runtime.
///
/// The channel stays open until every message is sent, or the connection is lost, even if the deadline
/// has passed or the future is dropped: lapin sends the close of a channel before the messages that
/// wait, and the broker closes the connection if it receives messages on a closed channel. Until then,
/// the connection contains the messages, and the task has their `room`. How long this takes has no
/// limit of its own: a broker that is gone is noticed by its missing heartbeats, and one that accepts no
/// messages for a long time must not get more of them.
pub async fn publish<R: Send + 'static>(
    channel: Channel,
    exchange: &ShortString,
    routing_key: &ShortString,
    messages: Vec<Publication>,
    deadline: Instant,
    room: R,
) -> Published<R> {
    let count = messages.len();
    let (answer, answered) = oneshot::channel();
    let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
    tokio::spawn(async move {
        let mut sending = Vec::with_capacity(count);
        for message in messages {
            let mut sent = maybe_done(send(&channel, &exchange, &routing_key, message));
            // This passes the message to the connection, so the messages keep their order.
            let _ = poll!(&mut sent);
            sending.push(sent);
        }
        let answers = answers(&mut sending, deadline).await;
        let usable = is_answered(&answers).then(|| channel.clone());
        let is_unsent = |sent: &MaybeDone<_>| matches!(sent, MaybeDone::Future(_));
        let unsent: Vec<_> = sending.into_iter().filter(is_unsent).collect();
        let (released, kept) =
            if unsent.is_empty() { (Some(room), None) } else { (None, Some(room)) };
        // Fails if the caller does not wait any more.
        let _ = answer.send(Published { answers, channel: usable, room: released });
        join_all(unsent).await;
        drop(kept);
    });
    // The task answers, unless the runtime ends.
    let unanswered = || (0..count).map(|_| None).collect();
    answered.await.unwrap_or_else(|_| Published {
        answers: unanswered(),
        channel: None,
        room: None,
    })
}

/// The answers until the deadline. Of the messages that are sent by then, none is left in `sending`.
async fn answers(sending: &mut [MaybeDone<Sending<'_>>], deadline: Instant) -> Vec<Answer> {
    // Those that are not sent in time, or not confirmed, have no answer.
    let _ = timeout_at(deadline, join_all(sending.iter_mut())).await;
    let confirms = sending.iter_mut().map(|sent| {
        let sent = Pin::new(sent).take_output();
        maybe_done(Box::pin(async move {
            match sent? {
                Ok(confirm) => Some(confirm.await),
                Err(error) => Some(Err(error)),
            }
        }))
    });
    let mut confirms: Vec<_> = confirms.collect();
    let _ = timeout_at(deadline, join_all(confirms.iter_mut())).await;
    confirms.iter_mut().map(|confirm| Pin::new(confirm).take_output().flatten()).collect()
}

/// Whether every message was confirmed, or refused by its queue.
fn is_answered(answers: &[Answer]) -> bool {
    answers.iter().all(|answer| matches!(answer, Some(Ok(_))))
}

/// Resolves when the message is written to the connection.
type Sending<'a> = Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send + 'a>>;

fn send<'a>(
    channel: &'a Channel,
    exchange: &ShortString,
    routing_key: &ShortString,
    Publication { properties, body }: Publication,
) -> Sending<'a> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
    Box::pin(async move {
        channel.basic_publish(exchange, routing_key, options, &body, properties).await
    })
}
