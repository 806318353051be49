//! Requests without a response.

use http::StatusCode;
use intake::Problem;
use spin_sdk::wasip3::http::types::ErrorCode;

/// Whether the server did not answer in time.
pub fn is_timeout(error: &ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::DnsTimeout
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::HttpResponseTimeout
    )
}

/// Whether the server could not be reached, or did not answer, so that another attempt may succeed.
pub fn is_connection_failure(error: &ErrorCode) -> bool {
    let is_failure = matches!(
        error,
        ErrorCode::DnsError(_)
            | ErrorCode::DestinationUnavailable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTerminated
            | ErrorCode::ConnectionLimitReached
            | ErrorCode::HttpResponseIncomplete
    );
    is_failure || is_timeout(error)
}

/// Whether the server has failed, so that other requests would fail, too. A limit of this host says
/// nothing about the server.
pub fn is_server_failure(error: &ErrorCode) -> bool {
    match error {
        ErrorCode::ConnectionLimitReached => false,
        ErrorCode::HttpProtocolError => true,
        error => is_unreachable(error) || is_connection_failure(error),
    }
}

/// Whether there was no connection to the server, so that the body of the request was not read.
pub(crate) fn is_unreachable(error: &ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::DnsError(_)
            | ErrorCode::DnsTimeout
            | ErrorCode::DestinationUnavailable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTimeout
            | ErrorCode::TlsProtocolError
            | ErrorCode::TlsCertificateError
            | ErrorCode::TlsAlertReceived(_)
    )
}

/// The problem for a request that was not answered in time.
pub fn timed_out() -> Problem {
    let detail = "no answer in time; the request may have been handled";
    Problem::new("urn:doorbuster:problem:timed-out", StatusCode::GATEWAY_TIMEOUT, detail)
}
