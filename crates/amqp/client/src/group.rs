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
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::time::{Instant, timeout_at};

use crate::within;

/// A message without its route.
#[derive(Debug)]
pub struct Publication<'a> {
    /// Its properties.
    pub properties: BasicProperties,
    /// Its body.
    pub body: &'a [u8],
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

/// Publishes the messages in their order, and waits for their confirms until the deadline. Returns one
/// answer for each. The channel must have no other messages in the meantime. It can be used again if
/// [`is_answered`].
pub async fn publish(
    channel: &Channel,
    exchange: &ShortString,
    routing_key: &ShortString,
    messages: Vec<Publication<'_>>,
    deadline: Instant,
) -> Vec<Answer> {
    let mut waiting = Vec::with_capacity(messages.len());
    for message in messages {
        let mut publishing = maybe_done(confirmed(channel, exchange, routing_key, message));
        // This passes the message to the connection, so the messages keep their order.
        let _ = poll!(&mut publishing);
        waiting.push(publishing);
    }
    // Those that are not confirmed in time have no answer.
    let _ = timeout_at(deadline, join_all(waiting.iter_mut())).await;
    let answer = |waiting| match waiting {
        MaybeDone::Done(answer) => Some(answer),
        MaybeDone::Future(_) | MaybeDone::Gone => None,
    };
    waiting.into_iter().map(answer).collect()
}

/// Whether every message was confirmed, or refused by its queue.
pub fn is_answered(answers: &[Answer]) -> bool {
    answers.iter().all(|answer| matches!(answer, Some(Ok(_))))
}

type Publishing<'a> = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send + 'a>>;

fn confirmed<'a>(
    channel: &'a Channel,
    exchange: &ShortString,
    routing_key: &ShortString,
    message: Publication<'a>,
) -> Publishing<'a> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
    let Publication { properties, body } = message;
    Box::pin(async move {
        channel.basic_publish(exchange, routing_key, options, body, properties).await?.await
    })
}
