//! The request path of a sale from the request to the log, without its transport.
//!
//! The components of the request path only convert types around this crate. It contains the checks
//! of a request ([`request`]), the errors of a sale ([`IntakeError`]) and their representation in
//! HTTP ([`Problem`]) and gRPC ([`grpc`]), the limits on calls of the next hop ([`CircuitBreaker`],
//! [`RetryBudget`], [`Deadline`]), the times of the hops ([`hop_times`]), and requests with several
//! sales ([`many`]).

mod acknowledged;
mod breaker;
mod budget;
mod deadline;
mod error;
pub mod grpc;
pub mod hop_times;
pub mod many;
mod problem;
pub mod request;

pub use acknowledged::all_acknowledged;
pub use breaker::CircuitBreaker;
pub use budget::{ATTEMPTS_MAX, RetryBudget};
pub use deadline::Deadline;
pub use error::IntakeError;
pub use many::{ITEMS_MAX, Results};
pub use problem::{CONTENT_TYPE as PROBLEM_CONTENT_TYPE, Problem, RETRY_AFTER_SECONDS};

/// The types of the interface `doorbuster:sales/types`.
///
/// The bindings of the components use these types instead of generated ones (`with` in
/// `wit_bindgen::generate!`), so a sale is not converted between the hops. The names of the fields
/// and of the cases must be those of the interface; otherwise the components do not compile.
pub mod types {
    pub use sale::{Sale, Violation};

    pub use crate::IntakeError;
    pub use crate::hop_times::HopTime;
    pub use crate::request::Context;
}

/// The word in the answer to an accepted sale. The name of the field depends on the hop.
pub const PROCESSED: &str = "Procesado";
