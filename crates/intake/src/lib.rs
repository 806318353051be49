//! The way of a sale from the request to the log, without its transport.
//!
//! The components of the request path are thin shells around this crate: what a request must
//! look like ([`request`]), what can happen to a sale ([`IntakeError`]) and how that is said
//! over HTTP ([`Problem`]) and gRPC ([`grpc`]), and when a bridge stops calling
//! ([`CircuitBreaker`], [`RetryBudget`], [`Deadline`]).

mod breaker;
mod budget;
mod deadline;
mod error;
pub mod grpc;
mod many;
mod problem;
pub mod request;

pub use breaker::CircuitBreaker;
pub use budget::{RetryBudget, TRIES_MAX};
pub use deadline::Deadline;
pub use error::IntakeError;
pub use many::{ITEMS_MAX, Items, MANY_KEY_BYTES_MAX, Results, parse as parse_many};
pub use problem::{CONTENT_TYPE as PROBLEM_CONTENT_TYPE, Problem, RETRY_AFTER_SECONDS};

/// What an accepted sale is answered with, under a name that depends on the hop.
pub const PROCESSED: &str = "Procesado";
