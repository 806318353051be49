//! Reads the state of the pipeline from its metrics: what each hop accepted and refused, and what
//! the consumer has left to do. The metrics are in the text format of Prometheus or OpenMetrics.
//! The crate has no code for WebAssembly or the network.

mod consumer;
mod error;
mod pipeline;
mod requests;

pub use consumer::Consumer;
pub use error::Error;
pub use pipeline::{Pipeline, Producer};
pub use requests::{Refusal, RequestHop};
