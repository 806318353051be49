//! SASL OAUTHBEARER with a token from the settings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use crate::Error;
use crate::properties::ClientProperties;
use crate::secret::Secret;

/// The mechanism's name.
pub(crate) const MECHANISM: &str = "OAUTHBEARER";
/// The assumed lifetime of a token that contains no expiry. librdkafka asks for a token again
/// before it ends.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// The claims of a token that the client needs.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Claims {
    /// Expiry in seconds since 1970-01-01 UTC; may have a fraction.
    exp: Option<f64>,
    sub: Option<String>,
}

/// Rejects a token that would not be used, and a token that librdkafka would reject with an error
/// text that contains it.
pub(crate) fn validate(token: &Secret, client: &ClientProperties) -> Result<(), Error> {
    let token = token.expose();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("oauth_token", "give the token alone, without blanks or line ends");
    }
    for name in ["sasl.mechanism", "sasl.mechanisms"] {
        if client.get(name).is_some_and(|mechanism| !mechanism.eq_ignore_ascii_case(MECHANISM)) {
            return refuse_property(name, "must be `OAUTHBEARER` with `oauth_token`");
        }
    }
    for name in ["enable.sasl.oauthbearer.unsecure.jwt", "sasl.oauthbearer.method"] {
        if client.contains(name) {
            return refuse_property(name, "give either this or `oauth_token`");
        }
    }
    let protocol = client.get("security.protocol").unwrap_or_default().to_ascii_lowercase();
    if !protocol.starts_with("sasl_") {
        let reason = "must be `sasl_ssl` or `sasl_plaintext` with `oauth_token`";
        return refuse_property("security.protocol", reason);
    }
    Ok(())
}

fn refuse(setting: &str, reason: &str) -> Result<(), Error> {
    Err(Error::Config { setting: setting.into(), reason: reason.into() })
}

fn refuse_property(name: &str, reason: &str) -> Result<(), Error> {
    refuse(&format!("client.\"{name}\""), reason)
}

/// The answer to librdkafka's request for a token.
pub(crate) fn answer(given: Option<&Secret>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
    Ok(token(given.ok_or("no `oauth_token` is set")?))
}

/// The token in the form that librdkafka expects.
fn token(token: &Secret) -> OAuthToken {
    let Claims { exp, sub } = claims(token.expose()).unwrap_or_default();
    let expires_ms = exp.map_or_else(|| since_epoch_ms(LIFETIME), |seconds| seconds * 1_000.0);
    OAuthToken {
        token: token.expose().into(),
        principal_name: sub.unwrap_or_default(),
        lifetime_ms: expires_ms as i64,
    }
}

/// Milliseconds from 1970-01-01 UTC to the time `from_now` after now.
fn since_epoch_ms(from_now: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now + from_now).as_millis() as f64
}

/// The claims of a JWT; `None` if the token is of another kind. The token is not verified: that is
/// up to the broker.
fn claims(token: &str) -> Option<Claims> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn jwt(claims: &str) -> Secret {
        let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims)).into()
    }

    fn refused(token: &str, properties: &[(&str, &str)]) -> String {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let client: BTreeMap<String, String> = properties.iter().map(owned).collect();
        let error = validate(&Secret::from(token.to_owned()), &client.into());
        error.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_jwt_says_whose_it_is_and_until_when() {
        let token = token(&jwt(r#"{"sub":"alice","exp":1700000000.5,"scope":["sales"]}"#));
        assert_eq!(token.principal_name, "alice");
        assert_eq!(token.lifetime_ms, 1_700_000_000_500);
    }

    #[test]
    fn a_token_that_does_not_say_lives_for_an_hour() {
        for secret in [jwt(r#"{"sub":"alice"}"#), "opaque".to_owned().into()] {
            let soon = since_epoch_ms(LIFETIME - Duration::from_secs(60)) as i64;
            let late = since_epoch_ms(LIFETIME + Duration::from_secs(60)) as i64;
            assert!((soon..late).contains(&token(&secret).lifetime_ms));
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
    fn a_token_with_other_signs_is_refused_without_being_shown() {
        for token in ["hunter2\n", "hunter2 ", "hunter2é", "hunter2\0"] {
            let error = refused(token, &[("security.protocol", "sasl_ssl")]);
            assert!(error.contains("oauth_token"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
