//! Answers of a token endpoint.

use std::time::{Duration, SystemTime};

use kafka_client::decoders;

/// The longest time for which a token is used.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The longest error code that is shown.
const ERROR_CODE_BYTES: usize = 64;

/// A token has only characters that librdkafka accepts, and is used for a limited time. An error
/// code is short and printable.
pub fn check(body: &[u8]) {
    if let Some((token, principal, lifetime)) = decoders::token(body, SystemTime::now()) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
        assert!(token.len() < body.len(), "the answer has more than the token");
        assert!(principal.len() < body.len() && !principal.contains('\0'), "{principal}");
        assert!(lifetime <= LIFETIME_MAX, "{lifetime:?}");
    }
    if let Some(code) = decoders::error_code(body) {
        assert!(code.len() <= ERROR_CODE_BYTES, "{code}");
        assert!(code.bytes().all(|byte| byte.is_ascii_graphic()), "{code}");
    }
}
