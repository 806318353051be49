//! Checks the access tokens of requests: JSON Web Tokens (RFC 7519) in the header `Authorization`
//! (RFC 6750).
//!
//! [`Guard`] is the configuration. [`Guard::demand`] says what a request needs, [`bearer`] finds its
//! token, [`Guard::verify`] checks the token with [`Keys`], and [`Guard::authorize`] returns the
//! headers with claims for the component behind. [`KeyCache`] decides when keys are fetched.

mod cache;
mod claim;
mod config;
mod guard;
mod keys;
mod refusal;
mod route;

pub use cache::{KeyCache, Next};
pub use config::Settings;
pub use guard::{Claims, Demand, Guard, bearer};
pub use keys::{KEYS_BYTES_MAX, Keys, KeysError};
pub use refusal::Refusal;
