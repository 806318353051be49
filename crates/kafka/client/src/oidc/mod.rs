//! Tokens from an OpenID Connect provider, with the grant `client_credentials`.
//!
//! All clients of the process with the same settings use the same token. A thread requests it and
//! renews it before librdkafka asks for another one, so that librdkafka's callback, which blocks
//! the polling of its client, returns at once.

#[cfg(feature = "tls")]
pub(crate) mod answer;
#[cfg(feature = "tls")]
mod checks;
#[cfg(feature = "tls")]
mod endpoint;
#[cfg(feature = "tls")]
mod provider;
mod settings;

#[cfg(feature = "tls")]
pub(crate) use provider::Provider;
pub use settings::{ClientAuth, OidcSettings};
