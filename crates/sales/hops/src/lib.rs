//! Reads the state of the pipeline from its metrics: what each hop accepted and refused, and what
//! the consumer has left to do. The metrics are in the text format of Prometheus or OpenMetrics.
//! Also the requests for dead letters to the process that has the metrics.
//! The crate has no code for WebAssembly or the network.

mod consumer;
mod error;
mod letters;
mod pipeline;
mod requests;

pub use consumer::Consumer;
pub use error::Error;
pub use letters::{
    check_authority, check_letters, check_replay_request, letters_unanswered, letters_url,
    no_letters,
};
pub use pipeline::{Pipeline, Producer};
pub use requests::{Refusal, RequestHop};
