//! Reads the counts from Valkey: determines what a request needs, creates the one command that
//! fetches it, and writes the answer as JSON. The crate has no code for WebAssembly or the network.

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
pub use params::{Params, reject_parameters};
pub use query::Query;
pub use snapshot::Snapshot;
