//! The errors of the Redis triggers of an application.

use spin_app::origin::Place;

/// An error of a Redis trigger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `[application.trigger.redis]` or a `[[trigger.redis]]` of the manifest is invalid.
    #[error("{place}: {field}: {message}")]
    Config {
        /// The manifest, and the line if it is known.
        place: Place,
        /// Which table.
        field: String,
        /// What is wrong and what to write instead.
        message: String,
    },
    /// The application is invalid.
    #[error(transparent)]
    Application(#[from] spin_app::Error),
    /// TLS cannot be set up.
    #[error("Redis at {server}: TLS: {message}")]
    Tls {
        /// The address without password.
        server: String,
        /// The reason.
        message: String,
    },
    /// The component is not loaded.
    #[error("component `{component}` has a Redis trigger, but the host has not loaded it")]
    NotLoaded {
        /// The component.
        component: String,
    },
    /// The component cannot be called.
    #[error(
        "component `{component}` exports neither `fermyon:spin/inbound-redis` nor \
         `spin:redis/inbound-redis@3.0.0`; in Rust, use the macro `redis_subscriber` of spin-sdk, or \
         `redis_component` up to version 5"
    )]
    NoHandler {
        /// The component.
        component: String,
    },
    /// It is not clear which export should be called.
    #[error(
        "component `{component}` exports both `fermyon:spin/inbound-redis` and \
         `spin:redis/inbound-redis@3.0.0`; remove one of them"
    )]
    TwoHandlers {
        /// The component.
        component: String,
    },
    /// A task of the trigger has ended unexpectedly.
    #[error("the Redis trigger failed")]
    Task(#[from] tokio::task::JoinError),
}
