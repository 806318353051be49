//! Common parts of the HTTP components: requests and responses with bounded bodies, and variables.

mod answer;
mod body;
mod config;
mod context;
mod failure;
mod intercepted;
mod middleware;
mod outline;
mod read;
mod reply;
mod report;
mod response;
mod send_streamed;
mod serve;
mod suspend;
mod upload;
mod variable;
mod write;

pub use answer::{answer, problem, results};
pub use body::{Answer, FullBody};
pub use config::{Config, config, invalid_variable, value};
pub use context::with_context;
pub use failure::{is_connection_failure, is_server_failure, is_timeout, timed_out};
pub use intercepted::{
    Destination, Intercepted, Kept, NextResponse, Outcome, Repeatable, serve_intercepted,
};
pub use middleware::{
    Changes, Decision, Head, changed_response, next, serve_filter, serve_middleware,
};
pub use outline::Outline;
pub use reply::{BodyStream, Reply};
pub use report::{
    report, report_change, report_no_valkey, report_retry, report_skipped, report_unwritten,
};
pub use response::Received;
pub use send_streamed::send_streamed;
pub use serve::{Headers, IncomingBody, Request, head, read_body, send_answer, serve, serve_whole};
pub use suspend::{begin_exchange, resume_exchange};
pub use upload::{End, Observed};
pub use variable::{Variable, variable};

#[doc(hidden)]
pub use {intake::Problem, spin_sdk};

/// The bindings of `doorbuster:http`.
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, reason = "generated")]
pub mod whole {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:guest-http/component",
        path: ["../../../wit/doorbuster-http", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        pub_export_macro: true,
        default_bindings_module: "guest_http::whole",
        export_macro_name: "export_whole",
        generate_all,
    });
    pub use doorbuster::http::types;
    pub use exports::doorbuster::http::handler;
}

/// The bindings of `doorbuster:http/filter`.
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, reason = "generated")]
pub mod filter {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:guest-http/middleware",
        path: ["../../../wit/doorbuster-http", "world.wit"],
        with: { "doorbuster:http/types@0.1.0": crate::whole::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        pub_export_macro: true,
        default_bindings_module: "guest_http::filter",
        export_macro_name: "export_filter",
        generate_all,
    });
    pub use crate::whole::types::Head;
    pub use exports::doorbuster::http::filter::{Changes, Decision, Guest};
}

/// The bindings of `doorbuster:http/interceptor`.
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, reason = "generated")]
pub mod interceptor {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:guest-http/intercepting-middleware",
        path: ["../../../wit/doorbuster-http", "world.wit"],
        with: { "doorbuster:http/types@0.1.0": crate::whole::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        pub_export_macro: true,
        default_bindings_module: "guest_http::interceptor",
        export_macro_name: "export_interceptor",
        generate_all,
    });
    pub use crate::whole::types::Head as WholeHead;
    pub use exports::doorbuster::http::interceptor::{
        Action, EarlyAnswer, Event, Guest, Receiving, ResponseHead, Sending, Server,
    };
}

/// Exports `wasi:http/handler` with this body of its function.
#[doc(hidden)]
#[macro_export]
macro_rules! export_handler {
    (|$request:ident| $body:expr) => {
        mod http_handler {
            use $crate::spin_sdk::wasip3::exports::http::handler::Guest;
            use $crate::spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

            struct Handler;
            $crate::spin_sdk::wasip3::http::service::export!(Handler);

            impl Guest for Handler {
                async fn handle($request: Request) -> Result<Response, ErrorCode> {
                    $body
                }
            }
        }
    };
}

/// Exports `wasi:http/handler` and `doorbuster:http/filter` of middleware, given a function from
/// [`Head`] to [`Decision`].
#[macro_export]
macro_rules! middleware {
    ($($decide:ident)::+) => {
        $crate::export_handler! {
            |request| $crate::serve_middleware(request, super::$($decide)::+).await
        }

        mod http_filter {
            use $crate::filter::{Decision, Guest, Head};

            struct Filter;
            $crate::filter::export_filter!(Filter);

            impl Guest for Filter {
                async fn decide(head: Head) -> Decision {
                    $crate::serve_filter(head, super::$($decide)::+).await
                }
            }
        }
    };
}

/// Exports `wasi:http/handler` and `doorbuster:http/interceptor` of middleware that needs responses, or of a
/// component that forwards requests, given a function from [`Intercepted`] to a [`Result`] with an
/// [`Outcome`].
#[macro_export]
macro_rules! interceptor {
    ($($handle:ident)::+) => {
        $crate::export_handler! {
            |request| $crate::serve_intercepted(request, super::$($handle)::+).await
        }

        mod http_interceptor {
            use $crate::interceptor::{Action, Event, Guest, WholeHead};

            struct Interceptor;
            $crate::interceptor::export_interceptor!(Interceptor);

            impl Guest for Interceptor {
                async fn begin(head: WholeHead) -> Action {
                    $crate::begin_exchange(head, super::$($handle)::+).await
                }

                async fn resume(exchange: u64, event: Event) -> Action {
                    $crate::resume_exchange(exchange, event).await
                }
            }
        }
    };
}

/// Exports `wasi:http/handler` and `doorbuster:http/handler`, given a function from [`Request`] to
/// [`Answer`]. The function gets the headers that most components use, or those of a [`Headers`].
#[macro_export]
macro_rules! handler {
    ($($answer:ident)::+) => {
        $crate::handler!($($answer)::+, $crate::Headers::Needed);
    };
    ($($answer:ident)::+, $headers:expr) => {
        $crate::streaming_handler!($($answer)::+, $headers);

        mod whole_handler {
            use $crate::whole::handler::{Guest, Request, Response};

            struct Handler;
            $crate::whole::export_whole!(Handler);

            impl Guest for Handler {
                async fn handle(request: Request) -> Response {
                    $crate::serve_whole(request, $headers, super::$($answer)::+).await
                }
            }
        }
    };
}

/// Exports only `wasi:http/handler`, given a function from the host's request to its response.
#[macro_export]
macro_rules! proxy {
    ($($handle:ident)::+) => {
        $crate::export_handler!(|request| super::$($handle)::+(request).await);
    };
}

/// Exports only `wasi:http/handler`, given a function from [`Request`] to [`Answer`] or [`Reply`].
#[macro_export]
macro_rules! streaming_handler {
    ($($answer:ident)::+) => {
        $crate::streaming_handler!($($answer)::+, $crate::Headers::Needed);
    };
    ($($answer:ident)::+, $headers:expr) => {
        $crate::export_handler! {
            |request| $crate::serve(request, $headers, super::$($answer)::+).await
        }
    };
}
