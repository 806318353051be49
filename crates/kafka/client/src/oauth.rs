//! SASL OAUTHBEARER with a fixed token, which the setting `oauth_token` contains.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;
use serde::Deserialize;

use crate::properties::{TLS, needs_feature};
use crate::{ClientProperties, Error, Secret};

/// The name of the SASL mechanism.
pub const MECHANISM: &str = "OAUTHBEARER";
/// The assumed lifetime of a token that contains no expiry. librdkafka requests another token
/// before it ends.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// The claims of a token that the client needs.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Claims {
    /// Expiry in seconds since 1970-01-01 UTC; may have a fraction.
    exp: Option<f64>,
    sub: Option<String>,
}

/// Rejects a token that the client would not use, and a token that librdkafka would reject with an
/// error text that contains it.
pub fn validate(token: &Secret, client: &ClientProperties) -> Result<(), Error> {
    if !cfg!(feature = "tls") {
        return Err(Error::setting("oauth_token", needs_feature(TLS)));
    }
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = "give the token alone, without blanks or line ends";
        return Err(Error::setting("oauth_token", reason));
    }
    let value = |name| client.get(name).map(Secret::expose);
    for name in ["sasl.mechanism", "sasl.mechanisms"] {
        if value(name).is_some_and(|mechanism| !mechanism.eq_ignore_ascii_case(MECHANISM)) {
            return Err(Error::property(name, "must be `OAUTHBEARER` with `oauth_token`"));
        }
    }
    for name in ["enable.sasl.oauthbearer.unsecure.jwt", "sasl.oauthbearer.method"] {
        if client.contains(name) {
            return Err(Error::property(name, "give either this or `oauth_token`"));
        }
    }
    let protocol = value("security.protocol").unwrap_or_default().to_ascii_lowercase();
    if !protocol.starts_with("sasl_") {
        let reason = "must be `sasl_ssl` or `sasl_plaintext` with `oauth_token`";
        return Err(Error::property("security.protocol", reason));
    }
    Ok(())
}

/// The token in the form that librdkafka expects, for `ClientContext::generate_oauth_token`. Fails
/// if there is no token.
pub fn token(token: Option<&Secret>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
    let token = token.ok_or("no `oauth_token` is set")?;
    let Claims { exp, sub } = claims(token.expose()).unwrap_or_default();
    let expires_ms = exp.map_or_else(|| since_epoch_ms(LIFETIME), |seconds| seconds * 1_000.0);
    Ok(OAuthToken {
        token: token.expose().into(),
        principal_name: sub.unwrap_or_default(),
        lifetime_ms: expires_ms as i64,
    })
}

/// Milliseconds from 1970-01-01 UTC to the time `from_now` after now.
fn since_epoch_ms(from_now: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now + from_now).as_millis() as f64
}

/// The claims of a JWT; `None` if the token is of another kind. The token is not verified: that is
/// up to the broker.
#[cfg(feature = "tls")]
fn claims(token: &str) -> Option<Claims> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// librdkafka requests no token if it was built without TLS.
#[cfg(not(feature = "tls"))]
fn claims(_: &str) -> Option<Claims> {
    None
}

#[cfg(test)]
#[cfg(feature = "tls")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn jwt(claims: &str) -> Secret {
        let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims)).into()
    }

    fn refused(token: &str, properties: &[(&str, &str)]) -> String {
        let client = properties.iter().copied().collect();
        let error = validate(&Secret::from(token.to_owned()), &client);
        error.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn principal_and_expiry_are_read_from_a_jwt() {
        let token =
            token(Some(&jwt(r#"{"sub":"alice","exp":1700000000.5,"scope":["sales"]}"#))).unwrap();
        assert_eq!(token.principal_name, "alice");
        assert_eq!(token.lifetime_ms, 1_700_000_000_500);
    }

    #[test]
    fn a_token_without_an_expiry_is_assumed_valid_for_an_hour() {
        for secret in [jwt(r#"{"sub":"alice"}"#), "opaque".to_owned().into()] {
            let soon = since_epoch_ms(LIFETIME - Duration::from_secs(60)) as i64;
            let late = since_epoch_ms(LIFETIME + Duration::from_secs(60)) as i64;
            assert!((soon..late).contains(&token(Some(&secret)).unwrap().lifetime_ms));
        }
    }

    #[test]
    fn a_token_that_would_not_be_used_is_refused() {
        let sasl = ("security.protocol", "SASL_SSL");
        assert_eq!(refused("token", &[sasl]), "");
        assert_eq!(refused("token", &[sasl, ("sasl.mechanism", "oauthbearer")]), "");
        assert!(refused("token", &[]).contains("security.protocol"));
        assert!(refused("token", &[("security.protocol", "ssl")]).contains("security.protocol"));
        for (name, value) in [
            ("sasl.mechanism", "PLAIN"),
            ("sasl.mechanisms", "SCRAM-SHA-256"),
            ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
            ("sasl.oauthbearer.method", "oidc"),
        ] {
            assert!(refused("token", &[sasl, (name, value)]).contains(name), "{name}");
        }
    }

    #[test]
    fn a_token_with_other_characters_is_refused_without_being_shown() {
        for token in ["hunter2\n", "hunter2 ", "hunter2é", "hunter2\0"] {
            let error = refused(token, &[("security.protocol", "sasl_ssl")]);
            assert!(error.contains("oauth_token"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn a_token_needs_the_feature_tls() {
        let client = [("security.protocol", "sasl_plaintext")].into_iter().collect();
        let error = validate(&Secret::from("token"), &client).unwrap_err().to_string();
        assert!(error.contains("oauth_token") && error.contains("feature `tls`"), "{error}");
    }
}
