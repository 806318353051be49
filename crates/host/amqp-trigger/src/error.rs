//! The errors of the AMQP triggers of an application.

use spin_app::origin::Place;

/// An error of an AMQP trigger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `[[trigger.amqp]]` of the manifest is invalid.
    #[error("{place}: trigger.amqp: {message}")]
    Config {
        /// The manifest, and the trigger's line if it is known.
        place: Place,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// The component cannot be called.
    #[error(transparent)]
    Handler(#[from] kafka_trigger::Error),
    /// The component returns records to write, which only a Kafka trigger can do.
    #[error(
        "component `{component}` returns records to write in a transaction, which only a Kafka \
         trigger can do: call it by `[[trigger.kafka]]`, or export `handler` and send the records \
         with the producer"
    )]
    ReturnsRecords {
        /// The component.
        component: String,
    },
    /// The application is invalid.
    #[error(transparent)]
    Application(#[from] spin_app::Error),
    /// A setting is invalid, or the consumer stopped with an error.
    #[error("component `{component}`")]
    Consumer {
        /// The component that the trigger calls.
        component: String,
        /// The reason.
        source: spin_amqp_trigger::Error,
    },
}
