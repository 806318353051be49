//! The errors of the Kafka triggers of an application.

use spin_app::origin::Place;

use crate::interfaces::{HANDLER, SYNC_HANDLER, SYNC_TRANSFORM_HANDLER, TRANSFORM_HANDLER};

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
    /// A component is not loaded.
    #[error("component `{component}` has a trigger, but the host has not loaded it")]
    NotLoaded {
        /// The component.
        component: String,
    },
    /// A component lacks the export that a Kafka trigger calls.
    #[error(
        "component `{component}` has a Kafka trigger but exports none of {HANDLER}, \
         {SYNC_HANDLER}, {TRANSFORM_HANDLER} and {SYNC_TRANSFORM_HANDLER}"
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
    /// A new build returns records and the old one does not, or the reverse.
    #[error(
        "component `{component}`: the new build changes whether it exports \
         spin-kafka:events/transform-handler; that needs a restart"
    )]
    HandlerChanged {
        /// The component.
        component: String,
    },
    /// A component returns records, but its trigger names no topics for them.
    #[error(
        "component `{component}` returns records to write: name their topics in `output_topics` of \
         its trigger"
    )]
    NoOutputTopics {
        /// The component.
        component: String,
    },
    /// A trigger names topics for records that its component does not return.
    #[error(
        "component `{component}` has a trigger with `output_topics`, but returns no records: it \
         does not export {TRANSFORM_HANDLER} or {SYNC_TRANSFORM_HANDLER}"
    )]
    UnusedOutputTopics {
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
            | Error::NotLoaded { .. }
            | Error::NoHandler { .. }
            | Error::MixedExports { .. }
            | Error::CheckpointChanged { .. }
            | Error::HandlerChanged { .. }
            | Error::NoOutputTopics { .. }
            | Error::UnusedOutputTopics { .. }
            | Error::Schema { .. } => false,
            Error::Host(source) => source.is_retriable(),
            Error::Engine { source, .. } => source.is_retriable(),
        }
    }
}
