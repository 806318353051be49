//! From HTTP requests to records, by configuration.
//!
//! A [`Config`] is the text of a Spin variable. [`Routes`] are compiled from it, together with the
//! secrets that it names. A [`Route`] checks a request and returns the [`Event`]s that it contains:
//! one, or several if the request is a batch. The component `event-ingest` reads the request and
//! writes the events.

mod batch;
mod cloud_event;
mod config;
mod content;
mod context;
mod error;
mod event;
mod field;
mod key;
mod media_type;
mod object;
mod route;
mod routes;
mod schema;
mod shorten;
mod signature;
mod unique;

pub use config::{BODY_BYTES_MAX, Config, ROUTES_VARIABLE, TEXT_BYTES_MAX};
pub use context::Context;
pub use error::ConfigError;
pub use event::Event;
pub use route::Route;
pub use routes::{Found, Routes};
