//! Tokens of a real provider that signs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod tls;

use std::time::{Duration, Instant};

use kafka_client::{BasicContext, ClientSettings, OidcSettings, TokenError, TokenSource};
use rdkafka::client::ClientContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use test_servers::{OidcConfig, OidcProvider, WAIT_LIMIT};

const SECRET: &str = "hunter2";
/// How long a client waits for a token.
const TOKEN_LIMIT: Duration = Duration::from_secs(20);

async fn start(client_id: &str, token_lifetime: Duration) -> OidcProvider {
    let config = OidcConfig {
        client_id: client_id.into(),
        client_secret: SECRET.into(),
        audience: "kafka".into(),
        token_lifetime,
    };
    OidcProvider::start(config).await.unwrap()
}

fn settings(provider: &OidcProvider, client_id: &str) -> OidcSettings {
    OidcSettings {
        issuer: provider.issuer().into(),
        client_id: client_id.into(),
        client_secret: Some(SECRET.to_owned().into()),
        audience: "kafka".into(),
        ..OidcSettings::default()
    }
}

/// The token that librdkafka's callback gets, or the error. It blocks, so it runs on a thread of its
/// own, like that callback.
async fn callback(settings: &OidcSettings) -> Result<String, String> {
    let context = BasicContext::new(TokenSource::of(None, Some(settings)));
    let call = move || {
        let token = context.generate_oauth_token(None);
        token.map(|token| token.token).map_err(|error| error.to_string())
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

/// Gives a token to a client that is not polled.
async fn authenticate(settings: &OidcSettings) -> Result<(), TokenError> {
    let tokens = TokenSource::of(None, Some(settings)).unwrap();
    let client = [("security.protocol", "sasl_plaintext")].into_iter().collect();
    let mut settings = ClientSettings::new("127.0.0.1:1", &client);
    settings.set_tokens(Some(&tokens));
    let call = move || {
        let client: BaseConsumer<BasicContext> = settings.create(BasicContext::default()).unwrap();
        tokens.authenticate(client.client(), TOKEN_LIMIT)
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

/// Repeats the callback until its result meets the condition.
async fn until(
    settings: &OidcSettings,
    condition: impl Fn(&Result<String, String>) -> bool,
) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let result = callback(settings).await;
        if condition(&result) {
            return result;
        }
        assert!(begun.elapsed() < WAIT_LIMIT, "{result:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_token_is_shared_renewed_and_used_until_it_expires() {
    let lifetime = Duration::from_secs(4);
    let mut provider = start("renewed", lifetime).await;
    let settings = settings(&provider, "renewed");
    // The source keeps the provider in use.
    let _source = TokenSource::of(None, Some(&settings)).unwrap();
    let begun = Instant::now();
    let first = callback(&settings).await.unwrap();
    assert_eq!(callback(&settings).await, Ok(first.clone()), "another client");
    authenticate(&settings).await.unwrap();
    assert_eq!(provider.issued(), 1);
    let second = until(&settings, |result| result.as_ref() != Ok(&first)).await.unwrap();
    assert!(begun.elapsed() < lifetime, "renewed before the first token expired");

    provider.stop().await;
    let stopped = Instant::now();
    let error = until(&settings, Result::is_err).await.unwrap_err();
    assert!(error.contains(provider.issuer()) && error.contains("Connection refused"), "{error}");
    let used = stopped.elapsed();
    assert!(used > lifetime / 2, "the second token was used for {used:?}");

    provider.resume().await.unwrap();
    let third = until(&settings, Result::is_ok).await.unwrap();
    assert_ne!(third, second);
}

#[tokio::test]
async fn a_refusal_names_the_error_code_and_no_secret() {
    let provider = start("refused", Duration::from_secs(60)).await;
    let another = OidcSettings {
        client_secret: Some("hunter3".to_owned().into()),
        ..settings(&provider, "refused")
    };
    let without_audience =
        OidcSettings { audience: String::new(), ..settings(&provider, "refused") };
    for (settings, status, code) in
        [(another, "401", "invalid_client"), (without_audience, "400", "invalid_target")]
    {
        let error = authenticate(&settings).await.unwrap_err();
        assert!(matches!(error, TokenError::Refused { .. }) && !error.is_retriable(), "{error}");
        let text = error.to_string();
        for part in [status, code, provider.issuer()] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!format!("{error:?}{settings:?}").contains("hunter"), "{error:?}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_gets_no_secret() {
    let provider = start("over-tls", Duration::from_secs(60)).await;
    let (port, certificate) = tls::forward_to(provider.issuer()).await;
    let untrusted = OidcSettings {
        issuer: String::new(),
        token_url: format!("https://127.0.0.1:{port}/token"),
        ..settings(&provider, "over-tls")
    };
    let error = authenticate(&untrusted).await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    assert!(error.to_string().contains("certificate verify failed"), "{error}");
    assert_eq!(provider.issued(), 0);
    authenticate(&OidcSettings { ca: certificate, ..untrusted }).await.unwrap();
    assert_eq!(provider.issued(), 1);
}
