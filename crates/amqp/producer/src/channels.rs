//! The channels that are not in use.

use std::sync::{Mutex, PoisonError};

use amqp_client::open_channel;
use lapin::{Channel, Connection};

/// The channels that are not in use. A channel has messages of one group at a time.
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
        open_channel(connection).await
    }

    fn pop(&self) -> Option<Channel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Returns a channel without messages in flight.
    pub fn put_back(&self, channel: Channel) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }
}
