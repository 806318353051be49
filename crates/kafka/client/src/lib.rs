#![doc = include_str!("../README.md")]

mod context;
#[cfg(feature = "tls")]
#[doc(hidden)]
pub mod decoders;
mod ended;
mod error;
mod log;
mod native;
pub mod oauth;
mod oidc;
mod properties;
mod secret;
mod settings;
mod token_error;

pub use context::BasicContext;
pub use ended::{ends_producer, is_replaced_after};
pub use error::Error;
pub use log::{ClientLog, REPEAT_INTERVAL};
pub use oauth::{TokenError, TokenSource};
pub use oidc::{ClientAuth, OidcSettings};
pub use properties::{ClientProperties, OwnedProperty};
pub use secret::Secret;
pub use settings::ClientSettings;
