//! Reads the answers of a provider.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::oauth::{Token, is_token};

/// The longest lifetime of a token. If the provider states a longer one, this one is used.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The longest error code that is shown.
const ERROR_CODE_CHARS: usize = 64;

/// The answer of a token endpoint (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
}

/// A number of seconds. Some providers write it as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

/// The error of a token endpoint (RFC 6749, section 5.2). The description is not read: it could
/// contain what the client sent.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// The provider's metadata (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub issuer: String,
    pub token_endpoint: String,
}

/// The token in the answer to a request that was sent at `requested`. The error says what is wrong
/// with the answer, without its content.
pub(crate) fn token(body: &[u8], requested: SystemTime) -> Result<Token, &'static str> {
    let answer: TokenAnswer =
        serde_json::from_slice(body).map_err(|_| "the answer contains no token")?;
    let token_type = answer.token_type.as_deref().unwrap_or("Bearer");
    if !token_type.eq_ignore_ascii_case("Bearer") {
        return Err("the token's type is not `Bearer`");
    }
    if !is_token(&answer.access_token) {
        return Err("the token contains other characters than a bearer token may");
    }
    let lifetime = match answer.expires_in {
        None => None,
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(seconds)) => {
            Some(seconds.trim().parse().map_err(|_| "`expires_in` is not a number")?)
        }
    };
    let mut token = Token::new(answer.access_token.into(), requested);
    if let Some(seconds) = lifetime {
        // Relative to this machine's clock, unlike the expiry in the token.
        let seconds = seconds.clamp(0.0, LIFETIME_MAX.as_secs_f64());
        token.expires = requested + Duration::try_from_secs_f64(seconds).unwrap_or_default();
    }
    token.expires = token.expires.min(requested + LIFETIME_MAX);
    if token.expires <= SystemTime::now() {
        return Err("the token has already expired");
    }
    Ok(token)
}

/// The error code in an answer, such as `invalid_client`, if it is printable.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let ErrorAnswer { error } = serde_json::from_slice(body).ok()?;
    let is_code = error.len() <= ERROR_CODE_CHARS && error.bytes().all(|b| b.is_ascii_graphic());
    is_code.then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(answer: &str) -> Result<u64, &'static str> {
        let now = SystemTime::now();
        let token = token(answer.as_bytes(), now)?;
        Ok(token.expires.duration_since(now).unwrap().as_secs())
    }

    #[test]
    fn the_lifetime_is_the_stated_one() {
        let answer = |more: &str| format!(r#"{{"access_token":"opaque"{more}}}"#);
        assert_eq!(lifetime(&answer(r#","expires_in":60,"token_type":"bearer""#)), Ok(60));
        assert_eq!(lifetime(&answer(r#","expires_in":"60""#)), Ok(60));
        assert_eq!(lifetime(&answer("")), Ok(3_600), "a token that states none");
        assert_eq!(lifetime(&answer(r#","expires_in":1e300"#)), Ok(LIFETIME_MAX.as_secs()));
        for wrong in [r#","expires_in":0"#, r#","expires_in":-1"#, r#","expires_in":"soon""#] {
            assert!(lifetime(&answer(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_an_error_that_does_not_show_it() {
        for answer in [
            "",
            "hunter2",
            r#"{"expires_in":60}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"hunter2\n"}"#,
            r#"{"access_token":"hunter2","token_type":"DPoP"}"#,
        ] {
            let error = lifetime(answer).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn only_an_error_code_is_shown() {
        let code = |body: &str| error_code(body.as_bytes());
        let description = r#"{"error":"invalid_client","error_description":"hunter2"}"#;
        assert_eq!(code(description).as_deref(), Some("invalid_client"));
        assert_eq!(code("<html>"), None);
        assert_eq!(code(r#"{"error":"with\u0000null"}"#), None);
        assert_eq!(code(&format!(r#"{{"error":"{}"}}"#, "x".repeat(65))), None);
    }
}
