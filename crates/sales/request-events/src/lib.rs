//! Describes each HTTP request by an event with its method, route, status and duration, and keeps the
//! events until they are written to Kafka.
//!
//! The component `analytics` calls it with the values of its Spin variables, the time, and random
//! numbers. An answer never waits for an event: [`Outbox`] has a limit, and counts the events that it
//! drops for each route, status and minute.

mod config;
mod dropped;
mod event;
mod outbox;
mod route;

pub use config::{Config, Settings};
pub use event::{Exchange, Record, Series};
pub use outbox::{ATTEMPT_LIMIT, Next, Outbox};
pub use route::Routes;
