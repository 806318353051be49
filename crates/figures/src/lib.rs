//! Reads what has been counted from Valkey: which question a request asks, the one command that
//! fetches the answer, and the answer as JSON. Knows neither WebAssembly nor a network.

mod answer;
mod batch;
mod error;
mod etag;
mod keys;
mod number;
mod params;
mod query;
mod snapshot;

pub use error::Error;
pub use etag::Etag;
pub use query::Query;
pub use snapshot::Snapshot;
