//! TCP connections of guests over WASI 0.3 sockets.
//!
//! A connection is only driven by the calls that use it. An instance without calls has no task and
//! can be dropped, which closes its connections.

mod connection;
mod dial;
mod error;

pub use connection::Connection;
pub use dial::dial;
pub use error::Error;
