//! What the HTTP components share: bounded bodies, answers with their length, requests to the
//! next hop, variables, and a limit for waiting.

mod answer;
mod body;
mod limit;
mod outbound;
mod variable;

pub use answer::{Answer, answer, problem};
pub use body::read_body;
pub use limit::within;
pub use outbound::{unanswered, with_context};
pub use variable::Variable;
