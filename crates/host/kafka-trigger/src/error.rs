//! The errors of the Kafka triggers of an application.

use spin_app::origin::Place;

use crate::interfaces::{HANDLER, SYNC_HANDLER};

/// An error of a Kafka trigger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `[[trigger.kafka]]` of the manifest is invalid.
    #[error("{place}: trigger.kafka: {message}")]
    Config {
        /// The manifest, and the trigger's line if it is known.
        place: Place,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// A component lacks the export that a Kafka trigger calls.
    #[error(
        "component `{component}` has a Kafka trigger but exports neither {HANDLER} nor \
         {SYNC_HANDLER}"
    )]
    NoHandler {
        /// The component.
        component: String,
    },
    /// A component exports two handlers, or an interface that does not belong to its handler.
    #[error(
        "component `{component}` exports {stray}, which does not belong to its handler {handler} \
         and would be ignored: remove this export, or export it in the version of the handler, and \
         synchronous exactly if the handler is"
    )]
    MixedExports {
        /// The component.
        component: String,
        /// The handler.
        handler: &'static str,
        /// The export that does not belong to it.
        stray: String,
    },
    /// A new build keeps its own offsets and the old one does not, or the reverse.
    #[error(
        "component `{component}`: the new build changes whether it exports \
         spin-kafka:events/checkpoint; that needs a restart"
    )]
    CheckpointChanged {
        /// The component.
        component: String,
    },
    /// An error of the host.
    #[error(transparent)]
    Host(#[from] component_host::Error),
    /// The application is invalid.
    #[error(transparent)]
    Application(#[from] spin_app::Error),
    /// The client of the schema registry cannot be created.
    #[error("component `{component}`")]
    Schema {
        /// The component that the trigger calls.
        component: String,
        /// The setting, and the reason.
        source: kafka_schema::Error,
    },
    /// The consumer engine stopped with an error.
    #[error("component `{component}`")]
    Engine {
        /// The component that the trigger calls.
        component: String,
        /// The reason, with topic, partition and offset.
        source: spin_kafka_trigger::Error,
    },
}

impl Error {
    /// Whether starting the trigger again may succeed without a change of the settings, the
    /// component or the records.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Config { .. }
            | Error::Application(_)
            | Error::NoHandler { .. }
            | Error::MixedExports { .. }
            | Error::CheckpointChanged { .. }
            | Error::Schema { .. } => false,
            Error::Host(source) => source.is_retriable(),
            Error::Engine { source, .. } => source.is_retriable(),
        }
    }
}
