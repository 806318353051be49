//! SASL OAUTHBEARER: the token that a client sends to its brokers.

use std::ffi::CString;
use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::{Client, ClientContext, OAuthToken};
use serde::Deserialize;

use crate::oidc::OidcSettings;
#[cfg(feature = "tls")]
use crate::oidc::Provider;
use crate::properties::{TLS, needs_feature};
use crate::{ClientProperties, Error, Secret, native};

pub use crate::token_error::TokenError;

/// The name of the SASL mechanism.
pub const MECHANISM: &str = "OAUTHBEARER";
/// The assumed lifetime of a token that contains no expiry. librdkafka requests another token
/// before it ends.
const LIFETIME: Duration = Duration::from_secs(3_600);
/// The part of the remaining lifetime of a provider's token that librdkafka gets to know. It asks for
/// another token after 80 % of that. So it has the next one when its connections must authenticate
/// again, at 90 % of the lifetime: with the same token, they would do so once more within a second,
/// which Kafka refuses.
#[cfg(feature = "tls")]
const STATED: f64 = 0.8;
/// How long librdkafka's callback waits for a token. The client is not polled in the meantime.
const CALLBACK_LIMIT: Duration = Duration::from_secs(5);
/// librdkafka's own settings for tokens.
const NATIVE: [&str; 2] = ["enable.sasl.oauthbearer.", "sasl.oauthbearer."];

/// The claims of a token that the client needs.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Claims {
    /// Expiry in seconds since 1970-01-01 UTC; may have a fraction.
    exp: Option<f64>,
    sub: Option<String>,
}

/// A token for SASL OAUTHBEARER.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    value: Secret,
    /// The name that librdkafka logs; empty if it is not known.
    principal: String,
    pub expires: SystemTime,
}

impl Token {
    /// The expiry is that of a JWT, or else an hour after `issued`. The token is not verified: that
    /// is up to the broker.
    pub fn new(value: Secret, issued: SystemTime) -> Self {
        let Claims { exp, sub } = claims(value.expose()).unwrap_or_default();
        let since_epoch = exp.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let expires = since_epoch.and_then(|since| UNIX_EPOCH.checked_add(since));
        let principal = sub.filter(|name| !name.contains('\0')).unwrap_or_default();
        Self { value, principal, expires: expires.unwrap_or(issued + LIFETIME) }
    }

    /// How long it remains valid.
    #[cfg(feature = "tls")]
    pub fn lifetime(&self) -> Duration {
        self.expires.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// The same token with an earlier expiry.
    #[cfg(feature = "tls")]
    fn stated_early(self) -> Self {
        let expires = SystemTime::now() + self.lifetime().mul_f64(STATED);
        Self { expires, ..self }
    }

    pub fn native(&self) -> OAuthToken {
        let expires = self.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        OAuthToken {
            token: self.value.expose().into(),
            principal_name: self.principal.clone(),
            lifetime_ms: i64::try_from(expires.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// Whether the text can be sent as a bearer token. librdkafka would reject another one with an
/// error text that contains it.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where a client gets its tokens for SASL OAUTHBEARER. Cheap to clone. Clients with the same
/// settings share the tokens.
#[derive(Clone)]
pub struct TokenSource(Source);

#[derive(Clone)]
enum Source {
    Fixed(Secret),
    #[cfg(feature = "tls")]
    Provider(Arc<Provider>),
}

impl TokenSource {
    /// The source in the settings `oauth_token` and `oauth`; `None` if neither is set.
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only for `tls`"))]
    pub fn of(token: Option<&Secret>, provider: Option<&OidcSettings>) -> Option<Self> {
        // Without the feature, `validate` refuses a provider.
        #[cfg(feature = "tls")]
        if let Some(provider) = provider.filter(|provider| provider.is_set()) {
            return Some(Self(Source::Provider(Provider::shared(provider))));
        }
        let token = token.filter(|token| !token.expose().is_empty())?;
        Some(Self(Source::Fixed(token.clone())))
    }

    /// Gives a token to a client that is not polled, and whose callback is therefore not called.
    /// Blocks for at most `limit`.
    pub fn authenticate<C: ClientContext>(
        &self,
        client: &Client<C>,
        limit: Duration,
    ) -> Result<(), TokenError> {
        let OAuthToken { token, principal_name, lifetime_ms } = self.token(limit)?.native();
        let unusable = |reason: String| TokenError::Unusable(reason);
        let token = CString::new(token).map_err(|_| unusable("a token with a null".into()))?;
        let principal =
            CString::new(principal_name).map_err(|_| unusable("a principal with a null".into()))?;
        native::set_token(client, &token, &principal, lifetime_ms).map_err(unusable)
    }

    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "only for `tls`"))]
    fn token(&self, limit: Duration) -> Result<Token, TokenError> {
        match &self.0 {
            Source::Fixed(token) => Ok(Token::new(token.clone(), SystemTime::now())),
            #[cfg(feature = "tls")]
            Source::Provider(provider) => provider.token(limit).map(Token::stated_early),
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Source::Fixed(_) => "TokenSource(fixed)",
            #[cfg(feature = "tls")]
            Source::Provider(_) => "TokenSource(provider)",
        })
    }
}

/// Checks the settings `oauth_token` and `oauth`. Rejects a token that the client would not use.
pub fn validate(
    token: Option<&Secret>,
    provider: Option<&OidcSettings>,
    client: &ClientProperties,
) -> Result<(), Error> {
    let token = token.filter(|token| !token.expose().is_empty());
    let provider = provider.filter(|provider| provider.is_set());
    #[cfg(feature = "tls")]
    if let (None, Some(provider)) = (token, provider) {
        provider.validate()?;
    }
    let setting = match (token, provider) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            return Err(Error::setting("oauth", "give either this or `oauth_token`"));
        }
        (Some(token), None) => {
            if !is_token(token.expose()) {
                let reason = "give the token alone, without blanks or line ends";
                return Err(Error::setting("oauth_token", reason));
            }
            "oauth_token"
        }
        (None, Some(_)) => "oauth",
    };
    if !cfg!(feature = "tls") {
        return Err(Error::setting(setting, needs_feature(TLS)));
    }
    let value = |name| client.get(name).map(Secret::expose);
    for name in ["sasl.mechanism", "sasl.mechanisms"] {
        if value(name).is_some_and(|mechanism| !mechanism.eq_ignore_ascii_case(MECHANISM)) {
            return Err(Error::property(name, format!("must be `OAUTHBEARER` with `{setting}`")));
        }
    }
    if let Some(name) = client.names().find(|name| NATIVE.iter().any(|own| name.starts_with(own))) {
        return Err(Error::property(name, format!("give either this or `{setting}`")));
    }
    let protocol = value("security.protocol").unwrap_or_default().to_ascii_lowercase();
    if !protocol.starts_with("sasl_") {
        let reason = format!("must be `sasl_ssl` or `sasl_plaintext` with `{setting}`");
        return Err(Error::property("security.protocol", reason));
    }
    Ok(())
}

/// The token in the form that librdkafka expects, for `ClientContext::generate_oauth_token`. Fails
/// if there is no token. Blocks for at most 5 seconds.
pub fn token(source: Option<&TokenSource>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
    let source = source.ok_or("neither `oauth` nor `oauth_token` is set")?;
    Ok(source.token(CALLBACK_LIMIT)?.native())
}

/// The claims of a JWT; `None` if the token is of another kind.
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

    fn provider() -> OidcSettings {
        OidcSettings {
            token_url: "https://login.example/token".into(),
            client_id: "writer".into(),
            client_secret: Some("hunter2".to_owned().into()),
            ..OidcSettings::default()
        }
    }

    fn text(checked: Result<(), Error>) -> String {
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    fn refused(token: &str, properties: &[(&str, &str)]) -> String {
        let client = properties.iter().copied().collect();
        text(validate(Some(&Secret::from(token.to_owned())), None, &client))
    }

    #[test]
    fn principal_and_expiry_are_read_from_a_jwt() {
        let fixed = jwt(r#"{"sub":"alice","exp":1700000000.5,"scope":["sales"]}"#);
        let token = token(TokenSource::of(Some(&fixed), None).as_ref()).unwrap();
        assert_eq!(token.principal_name, "alice");
        assert_eq!(token.lifetime_ms, 1_700_000_000_500);
    }

    #[test]
    fn a_token_without_an_expiry_is_assumed_valid_for_an_hour() {
        let now = SystemTime::now();
        for secret in
            [jwt(r#"{"sub":"alice"}"#), jwt(r#"{"exp":1e300}"#), "opaque".to_owned().into()]
        {
            assert_eq!(Token::new(secret, now).expires, now + LIFETIME);
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
            ("sasl.oauthbearer.client.secret", "hunter2"),
        ] {
            assert!(refused("token", &[sasl, (name, value)]).contains(name), "{name}");
            let client = [sasl, (name, value)].into_iter().collect();
            let error = text(validate(None, Some(&provider()), &client));
            assert!(error.contains(name) && !error.contains("hunter2"), "{name}: {error}");
        }
    }

    #[test]
    fn a_token_and_a_provider_exclude_each_other() {
        let client = [("security.protocol", "sasl_ssl")].into_iter().collect();
        let (token, empty) = (Secret::from("token".to_owned()), Secret::from(String::new()));
        assert!(text(validate(Some(&token), Some(&provider()), &client)).contains("`oauth`"));
        assert_eq!(text(validate(Some(&empty), Some(&provider()), &client)), "");
        assert_eq!(text(validate(Some(&token), Some(&OidcSettings::default()), &client)), "");
        let none = ClientProperties::default();
        assert_eq!(text(validate(Some(&empty), Some(&OidcSettings::default()), &none)), "");
        assert!(TokenSource::of(Some(&empty), Some(&OidcSettings::default())).is_none());
        assert!(text(validate(None, Some(&provider()), &none)).contains("`oauth`"));
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
        let error = validate(Some(&Secret::from("token")), None, &client).unwrap_err().to_string();
        assert!(error.contains("oauth_token") && error.contains("feature `tls`"), "{error}");
    }
}
