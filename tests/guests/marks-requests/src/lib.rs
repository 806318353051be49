//! Middleware that sets the header `x-request` in each response: `complete` if the host has called
//! `doorbuster:http/filter`, and `streamed` if it has called `wasi:http/handler`.

use guest_http::{Changes, Decision, Head};
use http::HeaderValue;

guest_http::export_handler! {
    |request| guest_http::serve_middleware(request, async |_| super::mark("streamed")).await
}

mod http_filter {
    use guest_http::filter::{Decision, Guest, Head};

    struct Filter;
    guest_http::filter::export_filter!(Filter);

    impl Guest for Filter {
        async fn decide(head: Head) -> Decision {
            guest_http::serve_filter(head, async |_: super::Head| super::mark("complete")).await
        }
    }
}

fn mark(how: &'static str) -> Decision {
    let mut changes = Changes::default();
    changes.response.insert("x-request", HeaderValue::from_static(how));
    Decision::Pass(changes)
}
