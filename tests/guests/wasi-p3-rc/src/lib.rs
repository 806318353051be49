//! A test guest for a release candidate of WASI 0.3: an HTTP component, and a dependency for
//! `calls-dependency`.
#![allow(clippy::unwrap_used, reason = "a trap is a failed test")]

use bindings::exports::tests::capabilities::probe;
use bindings::exports::wasi::http::handler;
use bindings::fermyon::spin::variables;
use bindings::wasi::config::store;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use bindings::{wit_future, wit_stream};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "tests:candidate/guest",
        path: [
            "../probes-capabilities/wit",
            "../../../wit/deps/fermyon-spin",
            "../../../wit/deps/wasi-config",
            "wit",
        ],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Candidate;
    export!(Candidate);
}

/// A variable that the test sets.
const ADDRESS: &str = "address";

/// No server listens on this address: an allowed connection is refused by the operating system.
const HOST: &str = "127.0.0.1:1";

struct Candidate;

impl probe::Guest for Candidate {
    async fn look(at: String) -> String {
        match at.as_str() {
            "variables" => format!("{:?}", variables::get(ADDRESS)),
            "undeclared" => format!("{:?}", variables::get("undeclared")),
            "config" => format!("{:?}", store::get(ADDRESS)),
            "all-config" => format!("{:?}", store::get_all()),
            "http" => format!("{:?}", client::send(request()).await.err()),
            "lookup" => format!("{:?}", resolve_addresses("localhost".into()).await),
            _ => "nothing".into(),
        }
    }
}

impl handler::Guest for Candidate {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let seen = <Self as probe::Guest>::look(path.trim_start_matches('/').into()).await;
        let (mut body, contents) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(Fields::new(), Some(contents), trailers);
        spin_sdk::wasip3::spawn(async move {
            body.write_all(seen.into_bytes()).await;
        });
        Ok(response)
    }
}

fn request() -> Request {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(HOST)).unwrap();
    request.set_path_with_query(Some("/")).unwrap();
    request
}
