//! Requests without a response.

use http::StatusCode;
use intake::Problem;
use spin_sdk::wasip3::http::types::{DnsErrorPayload, ErrorCode};

use crate::whole::types::SendError;

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
            | ErrorCode::DestinationNotFound
            | ErrorCode::DestinationUnavailable
            | ErrorCode::ConnectionRefused
            | ErrorCode::ConnectionTimeout
            | ErrorCode::TlsProtocolError
            | ErrorCode::TlsCertificateError
            | ErrorCode::TlsAlertReceived(_)
    )
}

/// The failure of a request with streams in the same case.
pub(crate) fn error_code(error: SendError) -> ErrorCode {
    match error {
        SendError::Denied => ErrorCode::HttpRequestDenied,
        SendError::NameNotFound => {
            ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None })
        }
        SendError::Unreachable => ErrorCode::DestinationUnavailable,
        SendError::ConnectionRefused => ErrorCode::ConnectionRefused,
        SendError::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        SendError::CertificateNotTrusted => ErrorCode::TlsCertificateError,
        SendError::TlsFailed => ErrorCode::TlsProtocolError,
        SendError::ConnectionLimit => ErrorCode::ConnectionLimitReached,
        SendError::Interrupted => ErrorCode::ConnectionTerminated,
        SendError::ResponseTimeout => ErrorCode::HttpResponseTimeout,
        SendError::ResponseTooLarge => ErrorCode::HttpResponseBodySize(None),
        SendError::InvalidRequest(text) | SendError::Other(text) => {
            ErrorCode::InternalError(Some(text))
        }
    }
}

/// The problem for a request that was not answered in time.
pub fn timed_out() -> Problem {
    let detail = "no answer in time; the request may have been handled";
    Problem::new("urn:doorbuster:problem:timed-out", StatusCode::GATEWAY_TIMEOUT, detail)
}
