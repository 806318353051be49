//! Publishes the records of a call that have the same topic, on a channel of their own.
//!
//! A channel has messages of one group at a time. With those of several, it would not be known which
//! of them was returned as unroutable: lapin assigns a returned message to the next confirm, and
//! RabbitMQ confirms messages in any order.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use amqp_client::within;
use futures::future::{MaybeDone, join_all, maybe_done};
use futures::poll;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, Connection};
use tokio::time::{Instant, timeout_at};

use crate::message::Message;
use crate::outcome::Answer;

/// The channels of the current connection that are not in use.
#[derive(Default)]
pub(crate) struct IdleChannels(Mutex<Vec<Channel>>);

impl IdleChannels {
    /// A channel of the connection with publisher confirms. Fails with the reason; nothing was
    /// published.
    pub async fn take(&self, connection: &Connection) -> Result<Channel, String> {
        while let Some(channel) = self.pop() {
            // Those of earlier connections are closed.
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = within(connection.create_channel()).await?;
        within(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    fn pop(&self) -> Option<Channel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, channel: Channel) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }
}

type Publishing<'a> = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send + 'a>>;

/// Publishes the messages in their order, and waits for their confirms until the deadline. The
/// channel is used again if all were answered.
pub(crate) async fn publish(
    channel: Channel,
    idle: &IdleChannels,
    exchange: &ShortString,
    messages: &[Message],
    deadline: Instant,
) -> Vec<Answer> {
    let mut waiting: Vec<MaybeDone<Publishing<'_>>> = Vec::with_capacity(messages.len());
    for message in messages {
        let mut publishing = maybe_done(confirmed(&channel, exchange, message));
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
    let answers: Vec<Answer> = waiting.into_iter().map(answer).collect();
    if answers.iter().all(|answer| matches!(answer, Some(Ok(_)))) {
        idle.put_back(channel);
    }
    answers
}

fn confirmed<'a>(
    channel: &'a Channel,
    exchange: &ShortString,
    message: &'a Message,
) -> Publishing<'a> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, routing_key) = (exchange.clone(), message.routing_key.clone());
    let (body, properties) = (message.body.as_slice(), message.properties.clone());
    Box::pin(async move {
        channel.basic_publish(exchange, routing_key, options, body, properties).await?.await
    })
}
