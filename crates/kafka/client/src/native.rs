//! A function of librdkafka that `rdkafka` does not offer. The only unsafe code of the crate.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

/// Size of the buffer for an error text; librdkafka truncates a longer text.
const ERROR_BYTES: usize = 256;

/// Gives the client a token for SASL OAUTHBEARER that is valid until `expires_ms` after 1970-01-01
/// UTC. The error is librdkafka's text, which contains the token if it has a character that is not
/// printable.
pub(crate) fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &CStr,
    principal: &CStr,
    expires_ms: i64,
) -> Result<(), String> {
    let mut reason = [0; ERROR_BYTES];
    // SAFETY: the client lives as long as its borrow; the texts and the buffer outlive the call,
    // which copies the texts and writes at most `reason.len()` bytes with a null at the end.
    let code = unsafe {
        rd::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            expires_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the buffer was zeroed, and librdkafka ends its text with a null.
    Err(unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy().into_owned())
}
