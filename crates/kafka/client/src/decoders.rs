//! The decoders of external input, only for the checks in `tests/decoders`.

use std::time::{Duration, SystemTime};

use crate::oidc::answer;

/// The token in the answer of a token endpoint to a request that was sent at `requested`, the name
/// of its principal, and how long it is valid.
pub fn token(body: &[u8], requested: SystemTime) -> Option<(String, String, Duration)> {
    let token = answer::token(body, requested).ok()?;
    let lifetime = token.expires.duration_since(requested).ok()?;
    let native = token.native();
    Some((native.token, native.principal_name, lifetime))
}

/// The error code in the answer of a token endpoint that is shown.
pub fn error_code(body: &[u8]) -> Option<String> {
    answer::error_code(body)
}
