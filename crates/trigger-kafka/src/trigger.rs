//! One Kafka trigger of an application, ready to run.

use component_host::Host;
use spin_kafka_trigger::{Summary, Trigger};

use crate::Error;
use crate::config::TriggerConfig;
use crate::handler::GuestHandler;

/// A Kafka trigger joined to its component.
pub struct KafkaTrigger {
    config: TriggerConfig,
    handler: GuestHandler,
}

impl KafkaTrigger {
    /// Fails if the component is not loaded or does not export the handler.
    pub fn new(config: TriggerConfig, host: &Host) -> Result<Self, Error> {
        let guest = host.guest(&config.component).ok_or_else(|| Error::NoHandler {
            component: config.component.clone(),
            interface: crate::events::HANDLER,
        })?;
        let handler = GuestHandler::new(guest, config.handler_deadline)?;
        Ok(Self { config, handler })
    }

    /// Consumes until `shutdown`, then drains; an error means that it stopped before.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Summary, Error> {
        let Self { config, handler } = self;
        Trigger::run(config.engine, handler, shutdown)
            .await
            .map_err(|source| Error::Engine { component: config.component, source })
    }
}
