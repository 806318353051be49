//! Requests tokens from a provider.

use std::error::Error as _;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use url::form_urlencoded;

use super::answer::{self, Metadata};
use super::checks::is_loopback;
use super::{ClientAuth, OidcSettings};
use crate::oauth::{Token, TokenError};
use crate::{Error, Secret};

/// How long the connection and the head of an answer may take, and each read of its body. After
/// this time since the request, nothing more is read. So a request takes at most twice as long.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// The longest answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// How much of an answer is read at once.
const READ_BYTES: usize = 8 << 10;
/// The path of a provider's metadata (OpenID Connect Discovery 1.0, section 4).
const METADATA_PATH: &str = "/.well-known/openid-configuration";

/// The token endpoint of a provider. Requests block; they must not be sent on a thread that runs
/// asynchronous tasks.
pub(crate) struct Endpoint<'a> {
    settings: &'a OidcSettings,
    /// The URL in the provider's metadata.
    discovered: Option<Url>,
}

impl<'a> Endpoint<'a> {
    pub fn new(settings: &'a OidcSettings) -> Self {
        Self { settings, discovered: None }
    }

    /// Requests a token.
    pub fn fetch(&mut self) -> Result<Token, TokenError> {
        let fetched = self.request();
        if fetched.is_err() {
            // The provider may have moved its endpoint.
            self.discovered = None;
        }
        fetched
    }

    fn request(&mut self) -> Result<Token, TokenError> {
        let url = self.token_url()?;
        let (authorization, body) = credentials(self.settings);
        let mut request = self
            .client(&url)?
            .post(url)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::try_from(authorization)
                .map_err(|error| self.refused(error.to_string()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let requested = SystemTime::now();
        let body = self.send(request)?;
        answer::token(&body, requested).map_err(|reason| self.unavailable(reason))
    }

    /// The URL of the token endpoint.
    fn token_url(&mut self) -> Result<Url, TokenError> {
        let settings = self.settings;
        if let Some(url) = &self.discovered {
            return Ok(url.clone());
        }
        if settings.issuer.is_empty() {
            return self.allowed("token_url", &settings.token_url);
        }
        let issuer = settings.issuer.trim_end_matches('/');
        let metadata = self.allowed("issuer", &format!("{issuer}{METADATA_PATH}"))?;
        let request = self.client(&metadata)?.get(metadata).header(ACCEPT, "application/json");
        let body = self.send(request)?;
        let metadata: Metadata = serde_json::from_slice(&body)
            .map_err(|_| self.unavailable("the answer is not the metadata of a provider"))?;
        if metadata.issuer.trim_end_matches('/') != issuer {
            return Err(self.refused("its metadata names another issuer".into()));
        }
        let url = self.allowed("issuer", &metadata.token_endpoint)?;
        Ok(self.discovered.insert(url).clone())
    }

    fn allowed(&self, setting: &str, url: &str) -> Result<Url, TokenError> {
        let allowed = self.settings.url(setting, url);
        allowed.map_err(|error: Error| self.refused(error.to_string()))
    }

    /// A client for a request to this URL. It is not kept: the provider is used again only after
    /// half of a token's lifetime.
    fn client(&self, url: &Url) -> Result<Client, TokenError> {
        client(self.settings, url).map_err(|reason| self.refused(reason))
    }

    /// Sends a request; returns the body of a successful answer.
    fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, TokenError> {
        let until = Instant::now() + REQUEST_LIMIT;
        let response = request.send().map_err(|error| self.unavailable(cause(error)))?;
        let status = response.status();
        let body = read(response, until).map_err(|error| self.unavailable(error))?;
        if !status.is_success() {
            let code = answer::error_code(&body).map(|code| format!(", {code}"));
            let reason = format!("its answer is {status}{}", code.unwrap_or_default());
            return Err(if is_temporary(status) {
                self.unavailable(reason)
            } else {
                self.refused(reason)
            });
        }
        if body.len() > ANSWER_BYTES_MAX {
            return Err(self.unavailable(format!("its answer exceeds {ANSWER_BYTES_MAX} bytes")));
        }
        Ok(body)
    }

    fn unavailable(&self, reason: impl ToString) -> TokenError {
        TokenError::Unavailable { provider: provider(self.settings), reason: reason.to_string() }
    }

    fn refused(&self, reason: String) -> TokenError {
        TokenError::Refused { provider: provider(self.settings), reason }
    }
}

/// The provider's scheme, host and port, for errors and logs.
pub(crate) fn provider(settings: &OidcSettings) -> String {
    let configured =
        if settings.issuer.is_empty() { &settings.token_url } else { &settings.issuer };
    let origin = Url::parse(configured).map(|url| url.origin().ascii_serialization());
    origin.unwrap_or_default()
}

/// Reads an answer, until it is complete or exceeds its maximum. Fails if it is not complete at
/// this time: reqwest limits only the time of each read.
fn read(mut answer: impl Read, until: Instant) -> io::Result<Vec<u8>> {
    let (mut body, mut buffer) = (Vec::new(), [0; READ_BYTES]);
    loop {
        let read = answer.read(&mut buffer)?;
        body.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if read == 0 || body.len() > ANSWER_BYTES_MAX {
            return Ok(body);
        }
        if Instant::now() >= until {
            return Err(io::Error::new(ErrorKind::TimedOut, "its answer takes too long"));
        }
    }
}

fn client(settings: &OidcSettings, url: &Url) -> Result<Client, String> {
    let mut client = Client::builder()
        .timeout(REQUEST_LIMIT)
        // A redirection could send the secret to another server.
        .redirect(Policy::none())
        .user_agent(concat!("kafka-client/", env!("CARGO_PKG_VERSION")));
    let authorities = settings.authorities().map_err(|error| error.to_string())?;
    if !authorities.is_empty() {
        client = client.tls_certs_only(authorities);
    }
    if is_loopback(url) {
        // A proxy would connect to its own machine.
        client = client.no_proxy();
    }
    client.build().map_err(cause)
}

/// The header `Authorization`, and the body of the token request.
fn credentials(settings: &OidcSettings) -> (Option<String>, String) {
    let OidcSettings { client_id, scope, audience, .. } = settings;
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", scope), ("audience", audience)] {
        if !value.is_empty() {
            body.append_pair(name, value);
        }
    }
    for (name, value) in &settings.parameters {
        body.append_pair(name, Secret::expose(value));
    }
    let authorization = match settings.client_auth {
        ClientAuth::Basic => Some(basic(client_id, settings.secret())),
        ClientAuth::Post => {
            body.append_pair("client_id", client_id)
                .append_pair("client_secret", settings.secret());
            None
        }
    };
    (authorization, body.finish())
}

/// HTTP Basic authentication. Both parts are encoded before they are joined (RFC 6749, section
/// 2.3.1).
fn basic(client_id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let joined = format!("{}:{}", encode(client_id), encode(secret));
    format!("Basic {}", STANDARD.encode(joined))
}

/// Whether the same request may succeed later.
fn is_temporary(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

/// An error with its causes and without the URL, which may have a secret in its query.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(client_auth: ClientAuth) -> OidcSettings {
        OidcSettings {
            token_url: "https://login.example:8443/token?key=hunter2".into(),
            client_id: "wri:ter".into(),
            client_secret: Some("a+b/c d".to_owned().into()),
            client_auth,
            scope: "kafka read".into(),
            parameters: [("resource".into(), "https://kafka".to_owned().into())].into(),
            ..OidcSettings::default()
        }
    }

    #[test]
    fn credentials_are_sent_as_the_standard_requires() {
        let common = "grant_type=client_credentials&scope=kafka+read&resource=https%3A%2F%2Fkafka";
        let (authorization, body) = credentials(&settings(ClientAuth::Basic));
        let encoded = STANDARD.encode("wri%3Ater:a%2Bb%2Fc+d");
        assert_eq!(authorization, Some(format!("Basic {encoded}")));
        assert_eq!(body, common);
        let (authorization, body) = credentials(&settings(ClientAuth::Post));
        assert_eq!(authorization, None);
        assert_eq!(body, format!("{common}&client_id=wri%3Ater&client_secret=a%2Bb%2Fc+d"));
    }

    /// Sends one byte after another.
    struct Trickle;

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_millis(1));
            buffer[0] = b'x';
            Ok(1)
        }
    }

    #[test]
    fn an_answer_is_limited_in_time_and_size() {
        let begun = Instant::now();
        let limit = Duration::from_millis(50);
        let error = read(Trickle, begun + limit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= limit);
        let until = Instant::now() + REQUEST_LIMIT;
        let read = |bytes: u64| read(io::repeat(b'x').take(bytes), until).unwrap().len();
        assert_eq!(read(20_000), 20_000);
        assert!((ANSWER_BYTES_MAX + 1..=ANSWER_BYTES_MAX + READ_BYTES).contains(&read(1 << 30)));
    }

    #[test]
    fn a_provider_is_shown_without_path_and_query() {
        assert_eq!(provider(&settings(ClientAuth::Basic)), "https://login.example:8443");
    }
}
