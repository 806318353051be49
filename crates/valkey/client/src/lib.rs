//! A native client for the primary of several Valkey servers. The host provides [`Client`] to
//! components that import `doorbuster:valkey/client`. [`connect`] is used outside of the pipeline:
//! by the comparison of the books, the checks at the start, and tests. A [`Subscription`] receives the
//! messages of channels.

mod budget;
mod client;
mod connect;
mod connection;
mod error;
mod reply;
mod subscriber;
mod tls;
mod transport;

pub use client::Client;
pub use connect::connect;
pub use error::{Error, Fault};
pub use subscriber::{Received, Subscriber, Subscription};
pub use tls::Tls;
