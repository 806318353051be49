//! Replaces the components of a running application with other builds.

use std::sync::Arc;

use anyhow::Result;
use component_host::Host;
use kafka_trigger::GuestHandler;
use redis_trigger::MessageHandler;

/// The host, and the handlers of the triggers that call its components.
pub struct Builds {
    host: Arc<Host>,
    /// Those of the Kafka and AMQP triggers.
    batches: Vec<GuestHandler>,
    /// Those of the Redis triggers.
    messages: Vec<MessageHandler>,
}

impl Builds {
    pub(crate) fn new(
        host: Arc<Host>,
        batches: Vec<GuestHandler>,
        messages: Vec<MessageHandler>,
    ) -> Self {
        Self { host, batches, messages }
    }

    /// Loads the files of the components again. If one of them cannot be loaded, nothing changes.
    pub async fn reload(&self) -> Result<()> {
        let host = self.host.clone();
        tokio::task::spawn_blocking(move || host.reload()).await??;
        for handler in &self.batches {
            if let Some(guest) = self.host.guest(&handler.component()) {
                handler.swap(guest)?;
            }
        }
        for handler in &self.messages {
            if let Some(guest) = self.host.guest(&handler.component()) {
                handler.swap(guest)?;
            }
        }
        Ok(())
    }
}
