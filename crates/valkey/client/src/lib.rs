//! A native client that connects to the primary of several Valkey servers. It is used outside of
//! the pipeline: by the comparison of the books, the checks at the start, and tests. The components
//! of the pipeline use the component `valkey`.

mod connect;
mod error;

pub use connect::connect;
pub use error::{Error, Fault};
