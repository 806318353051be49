//! The HTTP client of the registry.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use tokio::io::AsyncReadExt as _;

use crate::{Error, SchemaConfig};

/// The largest answer that is read. A schema must be below it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The registry's error codes for a subject, a version and an id that do not exist.
const NOT_FOUND: [u32; 3] = [40_401, 40_402, 40_403];

/// A registry with Confluent's API.
pub(crate) struct Registry {
    client: Client,
    url: Url,
    config: SchemaConfig,
}

/// A schema as the registry stores it. It never changes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Definition {
    /// The text of the schema.
    pub schema: String,
    /// `AVRO` if it is missing.
    #[serde(rename = "schemaType")]
    pub schema_type: Option<String>,
    /// The other schemas that it refers to.
    #[serde(default, deserialize_with = "list")]
    pub references: Vec<Reference>,
}

/// A reference of a schema to another one.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Reference {
    /// The name that the schema uses: the path of an import in Protobuf, the URI in JSON Schema.
    pub name: String,
    /// The schema that is referred to.
    #[serde(flatten)]
    pub target: Version,
}

/// A version of a subject. Its schema never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Version {
    pub subject: String,
    pub version: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "version {} of the subject {}", self.version, self.subject)
    }
}

/// Why a request had no schema as its result. The reasons do not contain the registry's address,
/// which is in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// The registry has no such schema.
    Missing(String),
    /// The registry has a schema and its answer cannot be used.
    Unusable(String),
    /// The registry failed with this schema. It may answer for others.
    Failed(String),
    /// The registry cannot be asked for any schema.
    Outage(String),
    /// The settings name a schema that cannot be used.
    Settings(String),
}

/// A list, which is empty if it is null.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Reference>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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

    /// Fetches the schema of this id.
    pub async fn fetch(&self, id: u32) -> Result<Definition, FetchError> {
        let what = format!("schema with the id {id}");
        self.get(&["schemas", "ids", &id.to_string()], None, what).await
    }

    /// Fetches the schema of a version of a subject. The version may be deleted, except permanently:
    /// schemas may still refer to it.
    pub async fn fetch_version(&self, version: &Version) -> Result<Definition, FetchError> {
        let what = version.to_string();
        let Version { subject, version } = version;
        let path = ["subjects", subject, "versions", &version.to_string()];
        self.get(&path, Some("deleted=true"), what).await
    }

    /// Fetches a definition. `what` describes it.
    async fn get(
        &self,
        path: &[&str],
        query: Option<&str>,
        what: String,
    ) -> Result<Definition, FetchError> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if let Ok(folder) = self.url.to_file_path() {
            // A subject may contain anything. As a part of a URL, it does not lead out of the folder.
            let base = self.url.path().trim_end_matches('/');
            let path = url.path().strip_prefix(base).unwrap_or_default().trim_start_matches('/');
            return read_file(&folder, path).await;
        }
        url.set_query(query);
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
            return definition(body.as_deref());
        }
        let problem = body.and_then(|body| serde_json::from_slice(&body).ok());
        let code = problem.map(|problem: Problem| problem.error_code);
        let reason = match code {
            // Without this code, the answer may be that of another server, or of a wrong path.
            Some(code) if NOT_FOUND.contains(&code) && status == StatusCode::NOT_FOUND => {
                return Err(FetchError::Missing(format!("the registry has no {what}")));
            }
            Some(code) => format!("its answer is {status}, error code {code}"),
            None => format!("its answer is {status}"),
        };
        Err(if status.is_server_error() {
            FetchError::Failed(reason)
        } else {
            FetchError::Outage(reason)
        })
    }
}

/// Reads the registry's answer to a request for this path from a folder.
async fn read_file(folder: &Path, path: &str) -> Result<Definition, FetchError> {
    let file = folder.join(format!("{path}.json"));
    let mut body = Vec::new();
    let opened = match tokio::fs::File::open(&file).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(not_found(folder, path, &file).await);
        }
        opened => opened.map_err(|error| failed(&file, &error))?,
    };
    let limited = opened.take(ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut body).await;
    limited.map_err(|error| failed(&file, &error))?;
    definition((body.len() <= ANSWER_BYTES_MAX).then_some(body.as_slice()))
}

/// Why there is no such file. If the folder is not one of a registry, such as one that is not
/// mounted, this says nothing about the schema.
async fn not_found(folder: &Path, path: &str, file: &Path) -> FetchError {
    let kind = if path.starts_with("schemas/") { "schemas/ids" } else { "subjects" };
    let folder = folder.join(kind);
    match tokio::fs::metadata(&folder).await {
        Ok(found) if found.is_dir() => {
            FetchError::Missing(format!("there is no {}", file.display()))
        }
        _ => FetchError::Outage(format!("there is no folder {}", folder.display())),
    }
}

fn failed(file: &Path, error: &io::Error) -> FetchError {
    FetchError::Failed(format!("{}: {error}", file.display()))
}

/// The schema in the body of an answer, which is `None` if it is too large.
fn definition(body: Option<&[u8]>) -> Result<Definition, FetchError> {
    let Some(body) = body else {
        let reason = format!("the registry's answer is larger than {ANSWER_BYTES_MAX} bytes");
        return Err(FetchError::Unusable(reason));
    };
    strict_json::from_slice(body).map_err(|error| {
        let reason = format!("its answer is invalid: {error}");
        // The registry always answers with JSON. Anything else, such as a page to log in, is the
        // answer of another server, which says nothing about the schema.
        if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            FetchError::Unusable(reason)
        } else {
            FetchError::Outage(reason)
        }
    })
}

/// Reads the body; `None` if it is too large.
async fn read(mut answer: Response) -> Result<Option<Vec<u8>>, FetchError> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(describe)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
}

/// The error with its causes.
fn describe(error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    FetchError::Outage(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kafka_client::Secret;

    use super::*;
    use crate::test_registry::TestRegistry;

    const MISSING: &str = r#"{"error_code":40403,"message":"Schema 7 not found"}"#;

    async fn fetch(config: SchemaConfig) -> FetchError {
        Registry::new(config).unwrap().fetch(7).await.unwrap_err()
    }

    async fn outage(config: SchemaConfig) -> String {
        let error = fetch(config).await;
        let FetchError::Outage(reason) = error else { panic!("{error:?}") };
        reason
    }

    #[tokio::test]
    async fn only_the_code_of_the_registry_means_that_there_is_no_schema() {
        let server = TestRegistry::start(StatusCode::NOT_FOUND, MISSING).await;
        let missing = FetchError::Missing("the registry has no schema with the id 7".into());
        assert_eq!(fetch(server.config()).await, missing);
        for (status, body, expected) in [
            (StatusCode::NOT_FOUND, "", "404 Not Found"),
            (StatusCode::NOT_FOUND, r#"{"error_code":404}"#, "error code 404"),
            (StatusCode::UNAUTHORIZED, MISSING, "401 Unauthorized, error code 40403"),
            (StatusCode::UNAUTHORIZED, &"x".repeat(ANSWER_BYTES_MAX + 1), "401 Unauthorized"),
            (StatusCode::FOUND, "", "302"),
            (StatusCode::OK, "<html>", "invalid"),
        ] {
            server.answer(status, body);
            let reason = outage(server.config()).await;
            assert!(reason.contains(expected), "{expected} is not in: {reason}");
        }
        let paths = server.asked().into_iter().map(|(path, _)| path);
        assert!(paths.into_iter().all(|path| path == "/api/schemas/ids/7"), "a redirection");
    }

    #[tokio::test]
    async fn a_failure_with_one_id_is_not_that_of_the_registry() {
        let server = TestRegistry::start(StatusCode::INTERNAL_SERVER_ERROR, "").await;
        let failed = fetch(server.config()).await;
        assert!(matches!(&failed, FetchError::Failed(reason) if reason.contains("500")));
        let large = " ".repeat(ANSWER_BYTES_MAX + 1);
        for (body, expected) in [(large.as_str(), "larger than 1048576 bytes"), ("{}", "schema")] {
            server.answer(StatusCode::OK, body);
            let error = fetch(server.config()).await;
            let FetchError::Unusable(reason) = error else { panic!("{error:?}") };
            assert!(reason.contains(expected), "{reason}");
        }
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
            let error = outage(config).await;
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
        let error = outage(config).await;
        assert!(error.contains("timed out"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_contains_the_answers_of_a_registry() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("registry");
        let registry = Url::from_directory_path(&folder).unwrap().to_string();
        // The URL may end with a slash, and need not.
        let registry = registry.trim_end_matches('/').to_owned();
        let registry = Registry::new(SchemaConfig { registry, ..Default::default() }).unwrap();
        let version = |subject: &str| Version { subject: subject.into(), version: 1 };
        for what in ["schemas/ids", "subjects"] {
            let error = if what == "subjects" {
                registry.fetch_version(&version("a")).await.unwrap_err()
            } else {
                registry.fetch(7).await.unwrap_err()
            };
            let FetchError::Outage(reason) = error else { panic!("{error:?}") };
            assert!(reason.starts_with("there is no folder "), "{reason}");
            std::fs::create_dir_all(folder.join(what)).unwrap();
        }
        let answer = r#"{"schema":"\"int\""}"#;
        for file in ["schemas/ids/7", "subjects/a/versions/1", "subjects/a%2Fb c.proto/versions/1"]
        {
            let file = folder.join(format!("{}.json", file.replace(' ', "%20")));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, answer).unwrap();
        }
        // What a subject would lead to if it were a path.
        std::fs::create_dir_all(outside.path().join("versions")).unwrap();
        std::fs::write(outside.path().join("versions/1.json"), answer).unwrap();
        let large = " ".repeat(ANSWER_BYTES_MAX + 1);
        std::fs::write(folder.join("schemas/ids/8.json"), large).unwrap();
        assert_eq!(registry.fetch(7).await.unwrap().schema, "\"int\"");
        assert!(matches!(registry.fetch(8).await, Err(FetchError::Unusable(_))));
        assert!(matches!(registry.fetch(9).await, Err(FetchError::Missing(_))));
        for (subject, is_found) in [
            ("a", true),
            ("b", false),
            ("a/b c.proto", true),
            ("a%2Fb c.proto", false),
            ("../..", false),
            ("..", false),
            (outside.path().to_str().unwrap(), false),
        ] {
            let fetched = registry.fetch_version(&version(subject)).await;
            let is_missing = matches!(fetched, Err(FetchError::Missing(_)));
            assert_eq!((fetched.is_ok(), is_missing), (is_found, !is_found), "{subject}");
        }
    }

    #[test]
    fn an_invalid_certificate_is_refused() {
        let ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        let config = SchemaConfig { registry: "https://registry".into(), ca, ..Default::default() };
        assert!(Registry::new(config).err().unwrap().to_string().starts_with("schema.ca: "));
    }
}
