//! A native connection to the primary among several Valkey servers, for those who look at the
//! store from beside the pipeline: the books, the checks at the start, tests. The pipeline's own
//! is the component `valkey`.

mod connect;
mod error;

pub use connect::connect;
pub use error::{Error, Fault};
