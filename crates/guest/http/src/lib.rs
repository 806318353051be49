//! Common parts of the HTTP components: requests and responses with bounded bodies, requests to the
//! next hop, and variables.

mod answer;
mod body;
mod context;
mod read;
mod reply;
mod report;
mod send;
mod serve;
mod variable;
mod write;

pub use answer::{answer, problem};
pub use body::{Answer, FullBody};
pub use context::with_context;
pub use reply::{BodyStream, Reply};
pub use report::{report, report_retry};
pub use send::{Outcome, SendLimits, send};
pub use serve::{Request, read_body, serve};
pub use variable::Variable;

#[doc(hidden)]
pub use spin_sdk;

/// Exports `wasi:http/handler`, given a function from [`Request`] to [`Answer`] or [`Reply`].
#[macro_export]
macro_rules! handler {
    ($($answer:ident)::+) => {
        mod http_handler {
            use $crate::spin_sdk::wasip3::exports::http::handler::Guest;
            use $crate::spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

            struct Handler;
            $crate::spin_sdk::wasip3::http::service::export!(Handler);

            impl Guest for Handler {
                async fn handle(request: Request) -> Result<Response, ErrorCode> {
                    $crate::serve(request, super::$($answer)::+).await
                }
            }
        }
    };
}
