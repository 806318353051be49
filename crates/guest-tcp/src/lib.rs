//! TCP connections of guests over WASI 0.3 sockets.
//!
//! A connection is driven only where it is used: an instance at rest has no task of its own
//! and can be dropped, which closes its connections.

mod connection;
mod dial;
mod error;

pub use connection::Connection;
pub use dial::dial;
pub use error::Error;
