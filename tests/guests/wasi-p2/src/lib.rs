//! A test guest for WASI 0.2, like components of older SDKs and other languages. It returns the
//! body of the request.
#![allow(clippy::unwrap_used, reason = "a trap is a failed test")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::proxy::export;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Maximum number of bytes in one write; the limit of WASI 0.2.
const WRITE_BYTES_MAX: u64 = 4_096;

struct Echo;
export!(Echo);

impl Guest for Echo {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let outgoing = response.body().unwrap();
        ResponseOutparam::set(answer, Ok(response));
        let incoming = request.consume().unwrap();
        let (from, to) = (incoming.stream().unwrap(), outgoing.write().unwrap());
        while let Ok(bytes) = from.blocking_read(WRITE_BYTES_MAX) {
            to.blocking_write_and_flush(&bytes).unwrap();
        }
        drop(to);
        OutgoingBody::finish(outgoing, None).unwrap();
    }
}
