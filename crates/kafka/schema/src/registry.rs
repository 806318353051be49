//! The HTTP client of the registry.

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Error, SchemaConfig};

/// The largest answer that is read. A schema must be below it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The registry's error code for an id without a schema.
const SCHEMA_NOT_FOUND: u32 = 40_403;

/// A registry with Confluent's API.
pub(crate) struct Registry {
    client: Client,
    url: Url,
    config: SchemaConfig,
}

/// A schema as the registry stores it. It never changes.
#[derive(Debug, Deserialize)]
pub(crate) struct Definition {
    /// The text of the schema.
    pub schema: String,
    /// `AVRO` if it is missing.
    #[serde(rename = "schemaType")]
    pub schema_type: Option<String>,
    /// The other schemas that it refers to.
    pub references: Option<Vec<IgnoredAny>>,
}

/// The registry's answer if it has an error.
#[derive(Debug, Deserialize)]
struct Problem {
    error_code: u32,
}

impl Registry {
    /// Creates a client without a connection.
    pub fn new(config: SchemaConfig) -> Result<Self, Error> {
        let url = config.url()?;
        let ca = Certificate::from_pem_bundle(config.ca.as_bytes());
        let ca = ca.map_err(|error| Error::setting("ca", error.to_string()))?;
        let client = Client::builder()
            .timeout(config.timeout())
            // A redirection could lead to another host, which must not get the credentials.
            .redirect(Policy::none())
            .user_agent(concat!("doorbuster/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(ca)
            .build()
            .map_err(|error| Error::setting("registry", error.to_string()))?;
        Ok(Self { client, url, config })
    }

    /// Fetches the schema of this id; `None` if the registry has no such schema. The error says why
    /// the registry did not answer that, without its address, which is in the settings.
    pub async fn fetch(&self, id: u32) -> Result<Option<Definition>, String> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["schemas", "ids", &id.to_string()]);
        }
        let mut request = self.client.get(url);
        let SchemaConfig { username, password, token, .. } = &self.config;
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        } else if !username.is_empty() {
            request = request.basic_auth(username, password.as_ref().map(|secret| secret.expose()));
        }
        let answer = request.send().await.map_err(describe)?;
        let status = answer.status();
        let body = read(answer).await?;
        if status.is_success() {
            let definition = serde_json::from_slice(&body);
            return definition.map(Some).map_err(|error| format!("its answer is invalid: {error}"));
        }
        // Without this code, the answer may be that of another server, or of a wrong path.
        let code = serde_json::from_slice(&body).ok().map(|problem: Problem| problem.error_code);
        match (status, code) {
            (StatusCode::NOT_FOUND, Some(SCHEMA_NOT_FOUND)) => Ok(None),
            (_, Some(code)) => Err(format!("its answer is {status}, error code {code}")),
            (_, None) => Err(format!("its answer is {status}")),
        }
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(describe)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer is larger than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The error with its causes.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kafka_client::Secret;

    use super::*;
    use crate::test_registry::TestRegistry;

    const MISSING: &str = r#"{"error_code":40403,"message":"Schema 7 not found"}"#;

    async fn fetch(config: SchemaConfig) -> Result<Option<Definition>, String> {
        Registry::new(config).unwrap().fetch(7).await
    }

    #[tokio::test]
    async fn only_the_code_of_the_registry_means_that_there_is_no_schema() {
        let server = TestRegistry::start(StatusCode::NOT_FOUND, MISSING).await;
        assert!(fetch(server.config()).await.unwrap().is_none());
        for (status, body, reason) in [
            (StatusCode::NOT_FOUND, "", "404 Not Found"),
            (StatusCode::NOT_FOUND, r#"{"error_code":404}"#, "error code 404"),
            (StatusCode::UNAUTHORIZED, MISSING, "401 Unauthorized, error code 40403"),
            (StatusCode::INTERNAL_SERVER_ERROR, "", "500"),
            (StatusCode::FOUND, "", "302"),
            (StatusCode::OK, "<html>", "invalid"),
            (StatusCode::OK, &" ".repeat(ANSWER_BYTES_MAX + 1), "larger than 1048576 bytes"),
        ] {
            server.answer(status, body);
            let error = fetch(server.config()).await.unwrap_err();
            assert!(error.contains(reason), "{reason} is not in: {error}");
        }
        let paths = server.asked().into_iter().map(|(path, _)| path);
        assert!(paths.into_iter().all(|path| path == "/api/schemas/ids/7"), "a redirection");
    }

    #[tokio::test]
    async fn credentials_are_sent_and_never_part_of_an_error() {
        let secret = |text: &str| Some(Secret::from(text.to_owned()));
        let server = TestRegistry::start(StatusCode::FORBIDDEN, "").await;
        let (username, password) = ("user".to_owned(), secret("hunter2"));
        let basic = SchemaConfig { username, password, ..server.config() };
        let bearer = SchemaConfig { token: secret("hunter3"), ..server.config() };
        // Nothing listens there.
        let closed = SchemaConfig { registry: "http://127.0.0.1:1".into(), ..basic.clone() };
        for config in [basic, bearer, closed, server.config()] {
            let error = fetch(config).await.unwrap_err();
            assert!(!error.contains("hunter"), "{error}");
        }
        let sent = server.asked().into_iter().map(|(_, authorization)| authorization);
        let expected = [Some("Basic dXNlcjpodW50ZXIy".into()), Some("Bearer hunter3".into()), None];
        assert_eq!(sent.collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn a_registry_that_does_not_answer_in_time_is_a_failure() {
        let server = TestRegistry::start(StatusCode::OK, "").await;
        let config = SchemaConfig { timeout_ms: 1, ..server.config() };
        assert_eq!(config.timeout(), Duration::from_millis(1));
        let error = fetch(config).await.unwrap_err();
        assert!(error.contains("timed out"), "{error}");
    }

    #[test]
    fn an_invalid_certificate_is_refused() {
        let ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        let config = SchemaConfig { registry: "https://registry".into(), ca, ..Default::default() };
        assert!(Registry::new(config).err().unwrap().to_string().starts_with("schema.ca: "));
    }
}
