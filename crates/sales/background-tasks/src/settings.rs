//! The configuration of both components.

use std::time::Duration;

use component_settings::{SettingError, json, list, number, text, truth};
use http::{HeaderName, Uri};
use secrecy::SecretString;

use crate::route::{Route, RouteConfig};

/// The names of the variables of the component `tasks`, in the order of [`FrontConfig::new`].
pub const FRONT_VARIABLES: [&str; 12] = [
    "tasks_secret",
    "tasks_valkey_url",
    "tasks_valkey_prefix",
    "tasks_valkey_timeout_ms",
    "tasks_retention_s",
    "tasks_topic",
    "tasks_prefix",
    "tasks_routes",
    "tasks_subject_header",
    "tasks_body_bytes_max",
    "tasks_anonymous",
    "tasks_credential_headers",
];

/// The names of the variables of the component `task-worker`, in the order of [`WorkerConfig::new`].
pub const WORKER_VARIABLES: [&str; 11] = [
    "tasks_secret",
    "tasks_valkey_url",
    "tasks_valkey_prefix",
    "tasks_valkey_timeout_ms",
    "tasks_retention_s",
    "tasks_service_url",
    "tasks_timeout_ms",
    "tasks_attempts_max",
    "tasks_retry_s",
    "tasks_retry_after_max_s",
    "tasks_result_bytes_max",
];

/// The least and the most bytes of `tasks_secret`.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=1_024;

/// The most bytes of `tasks_valkey_prefix`, `tasks_prefix` and `tasks_topic`.
const TEXT_BYTES_MAX: usize = 256;

/// The most entries of `tasks_routes`.
const ROUTES_MAX: usize = 64;

/// The most bytes of a body. In base64, and with 128 KiB of headers, the record is still shorter than
/// 1 MB, the default of the brokers.
const BODY_BYTES_MAX: u64 = 512 << 10;

/// The default of `tasks_credential_headers`.
const CREDENTIAL_HEADERS: &str = "x-api-key, x-auth-token, x-forwarded-access-token";

/// The most tasks of a batch that are handled at the same time, and the most bytes of their results.
const TASKS_AT_ONCE_MAX: usize = 64;
const RESULTS_BYTES_MAX: u64 = 16 << 20;

/// The retention, in seconds: longer than any attempt, so that the state of a running task does not expire,
/// and at most 30 days.
const RETENTION_S: std::ops::RangeInclusive<u64> = 1_800..=30 * 86_400;

/// What both components know of the stored tasks. It must be the same for both.
#[derive(Debug)]
pub struct StoreConfig {
    /// `tasks_secret`: ids and tokens are derived from it.
    pub secret: SecretString,
    /// `tasks_valkey_url`: the Valkey with the states.
    pub url: SecretString,
    /// `tasks_valkey_timeout_ms`: the most milliseconds for an answer of Valkey.
    pub timeout_ms: u32,
    /// `tasks_retention_s`: the milliseconds for which a task is kept after its last change.
    pub retention_ms: u64,
    prefix: String,
}

impl StoreConfig {
    fn new(values: [&String; 5]) -> Result<Self, SettingError> {
        let [secret, url, prefix, timeout, retention] = values;
        let [secret_name, url_name, prefix_name, timeout_name, retention_name, ..] =
            FRONT_VARIABLES;
        if !SECRET_BYTES.contains(&secret.len()) {
            return Err(SettingError::new(secret_name, "must be 32 to 1024 bytes long"));
        }
        if url.is_empty() {
            return Err(SettingError::new(url_name, "must be the URL of Valkey"));
        }
        Ok(Self {
            secret: secret.as_str().into(),
            url: url.as_str().into(),
            prefix: text(prefix_name, prefix, "tasks:", TEXT_BYTES_MAX)?.into(),
            timeout_ms: number(timeout_name, timeout, Some(1_000), 1..=10_000)?,
            retention_ms: number(retention_name, retention, Some(86_400), RETENTION_S)? * 1_000,
        })
    }

    /// The name of the key of a task.
    pub fn key(&self, id: &crate::TaskId) -> Vec<u8> {
        format!("{}{id}", self.prefix).into_bytes()
    }
}

/// The configuration of the component `tasks`.
#[derive(Debug)]
pub struct FrontConfig {
    /// What both components know.
    pub store: StoreConfig,
    /// `tasks_topic`: where the records are written.
    pub topic: String,
    /// `tasks_prefix`: the path below which tasks are found.
    pub prefix: String,
    /// `tasks_subject_header`: the header that names who sent a request.
    pub subject_header: HeaderName,
    /// `tasks_body_bytes_max`: the most bytes of the body of a task.
    pub body_bytes_max: usize,
    /// `tasks_anonymous`: whether a request may have no subject.
    pub is_anonymous_permitted: bool,
    /// `tasks_credential_headers`: further headers that do not become part of a record.
    pub credential_headers: Vec<HeaderName>,
    routes: Vec<Route>,
}

impl FrontConfig {
    /// Reads the values of [`FRONT_VARIABLES`]. An empty value has the same meaning as a variable that
    /// is not declared.
    pub fn new(values: &[String; FRONT_VARIABLES.len()]) -> Result<Self, SettingError> {
        let [secret, url, valkey_prefix, timeout, retention, rest @ ..] = values;
        let [topic, prefix, routes, subject, body, anonymous, credentials] = rest;
        let [.., topic_name, prefix_name, routes_name, subject_name, body_name, _, _] =
            FRONT_VARIABLES;
        let [.., anonymous_name, credentials_name] = FRONT_VARIABLES;
        if topic.is_empty() || topic.len() > TEXT_BYTES_MAX {
            return Err(SettingError::new(topic_name, "must be the name of a topic"));
        }
        let prefix = text(prefix_name, prefix, "/tasks", TEXT_BYTES_MAX)?;
        let is_path = prefix.len() > 1 && !prefix.ends_with('/');
        if !is_path || http_text::decode_path(prefix).as_deref() != Some(prefix) {
            return Err(SettingError::new(
                prefix_name,
                "must be a path without escapes, as `/tasks`",
            ));
        }
        let subject = if subject.is_empty() { "x-token-subject" } else { subject };
        let subject_header = HeaderName::try_from(subject)
            .map_err(|_| SettingError::new(subject_name, "must be the name of a header"))?;
        let body_bytes_max = number(body_name, body, Some(256 << 10), 0..=BODY_BYTES_MAX)?;
        Ok(Self {
            store: StoreConfig::new([secret, url, valkey_prefix, timeout, retention])?,
            topic: topic.clone(),
            prefix: prefix.into(),
            subject_header,
            body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
            is_anonymous_permitted: truth(anonymous_name, anonymous)?,
            credential_headers: header_names(credentials_name, credentials)?,
            routes: read_routes(routes_name, routes)?,
        })
    }

    /// Whether a request becomes a task. `is_preferred` says whether the client prefers that.
    pub fn is_task(&self, method: &http::Method, path: &str, is_preferred: bool) -> bool {
        let route = self.routes.iter().find(|route| route.applies(method, path));
        route.is_some_and(|route| route.is_always || is_preferred)
    }
}

fn header_names(variable: &'static str, value: &str) -> Result<Vec<HeaderName>, SettingError> {
    let value = text(variable, value, CREDENTIAL_HEADERS, TEXT_BYTES_MAX)?;
    list(value).map(HeaderName::try_from).collect::<Result<_, _>>().map_err(|_| {
        SettingError::new(variable, "must be names of headers that are separated by commas")
    })
}

fn read_routes(variable: &'static str, text: &str) -> Result<Vec<Route>, SettingError> {
    let Some(configs) = json::<Vec<RouteConfig>>(variable, text)? else {
        return Ok(vec![Route::all()]);
    };
    if configs.is_empty() || configs.len() > ROUTES_MAX {
        return Err(SettingError::new(
            variable,
            format!("must be a list of 1 to {ROUTES_MAX} routes"),
        ));
    }
    let valid =
        |error| SettingError::new(variable, format!("must be a list of valid routes: {error}"));
    configs.into_iter().map(Route::new).collect::<Result<_, _>>().map_err(valid)
}

/// The configuration of the component `task-worker`.
#[derive(Debug)]
pub struct WorkerConfig {
    /// What both components know.
    pub store: StoreConfig,
    /// `tasks_service_url`: where the requests are sent, without a path.
    pub service_url: Uri,
    /// `tasks_timeout_ms`: the most milliseconds for an answer of the service.
    pub timeout_ms: u32,
    /// `tasks_attempts_max`: after this many attempts a task has failed.
    pub attempts_max: u32,
    /// `tasks_retry_s`: the milliseconds for which a service that is not available is called again.
    pub retry_ms: u64,
    /// `tasks_retry_after_max_s`: the longest wait because of `Retry-After`.
    pub retry_after_max: Duration,
    /// `tasks_result_bytes_max`: the most bytes of the body of an answer.
    pub result_bytes_max: u64,
}

impl WorkerConfig {
    /// Reads the values of [`WORKER_VARIABLES`]. An empty value has the same meaning as a variable that
    /// is not declared.
    pub fn new(values: &[String; WORKER_VARIABLES.len()]) -> Result<Self, SettingError> {
        let [secret, url, prefix, timeout, retention, service, rest @ ..] = values;
        let [limit, attempts, retry, after, result] = rest;
        let [.., service_name, limit_name, attempts_name, retry_name, after_name, result_name] =
            WORKER_VARIABLES;
        let service_url: Option<Uri> = service.parse().ok();
        let is_origin = |url: &Uri| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && url.path_and_query().is_none_or(|path| path == "/")
        };
        let expected = "must be `http://HOST[:PORT]` or `https://HOST[:PORT]`";
        let service_url = service_url.filter(is_origin);
        Ok(Self {
            store: StoreConfig::new([secret, url, prefix, timeout, retention])?,
            service_url: service_url.ok_or_else(|| SettingError::new(service_name, expected))?,
            timeout_ms: number(limit_name, limit, Some(20_000), 1..=600_000)?,
            attempts_max: number(attempts_name, attempts, Some(10), 1..=100)?,
            retry_ms: number(retry_name, retry, Some(600), 0..=86_400)? * 1_000,
            retry_after_max: Duration::from_secs(number(after_name, after, Some(30), 0..=600)?),
            result_bytes_max: number(result_name, result, Some(256 << 10), 0..=1 << 20)?,
        })
    }
}

impl WorkerConfig {
    /// The most tasks of a batch that are handled at the same time. Their results are in memory together,
    /// each of them several times.
    pub fn tasks_at_once(&self) -> usize {
        let fitting = RESULTS_BYTES_MAX / self.result_bytes_max.max(1);
        usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, TASKS_AT_ONCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    const SECRET: &str = "a secret of at least 32 bytes ...";

    fn values<const N: usize>(names: [&str; N], set: &[(&str, &str)]) -> [String; N] {
        let always = [("tasks_secret", SECRET), ("tasks_valkey_url", "redis://u:p@v")];
        let value = |name| set.iter().chain(&always).find(|(own, _)| *own == name);
        names.map(|name| value(name).map(|(_, value)| (*value).to_owned()).unwrap_or_default())
    }

    fn front(set: &[(&str, &str)]) -> Result<FrontConfig, SettingError> {
        let topic = [set, &[("tasks_topic", "tasks")]].concat();
        FrontConfig::new(&values(FRONT_VARIABLES, &topic))
    }

    fn worker(set: &[(&str, &str)]) -> Result<WorkerConfig, SettingError> {
        let service = [set, &[("tasks_service_url", "http://service:80")]].concat();
        WorkerConfig::new(&values(WORKER_VARIABLES, &service))
    }

    #[test]
    fn the_defaults_are_valid() {
        let config = front(&[]).unwrap();
        assert_eq!((&*config.prefix, config.body_bytes_max), ("/tasks", 256 << 10));
        assert_eq!(config.subject_header, "x-token-subject");
        assert!(!config.is_anonymous_permitted);
        assert_eq!(config.credential_headers.len(), 3);
        assert!(config.is_task(&Method::POST, "/a", true));
        assert!(!config.is_task(&Method::POST, "/a", false));
        let config = worker(&[]).unwrap();
        assert_eq!((config.timeout_ms, config.attempts_max), (20_000, 10));
        assert_eq!((config.retry_ms, config.tasks_at_once()), (600_000, 64));
        assert_eq!(config.retry_after_max, Duration::from_secs(30));
        let config = worker(&[("tasks_result_bytes_max", "1048576")]).unwrap();
        assert_eq!(config.tasks_at_once(), 16, "the results of a batch are in memory");
        let config = worker(&[]).unwrap();
        assert_eq!((config.store.retention_ms, config.store.timeout_ms), (86_400_000, 1_000));
        let shown = format!("{config:?}");
        assert!(!shown.contains(SECRET) && !shown.contains("u:p"), "{shown}");
    }

    #[test]
    fn the_first_route_of_a_request_decides() {
        let routes = r#"[{"path": "/reports", "methods": ["POST"], "always": true},
            {"path": "/imports/..."}]"#;
        let config = front(&[("tasks_routes", routes)]).unwrap();
        assert!(config.is_task(&Method::POST, "/reports", false));
        assert!(!config.is_task(&Method::GET, "/reports", true));
        assert!(config.is_task(&Method::PUT, "/imports/1", true));
        assert!(!config.is_task(&Method::PUT, "/imports/1", false));
        assert!(!config.is_task(&Method::POST, "/other", true));
    }

    #[test]
    fn wrong_values_name_their_variable() {
        for (name, value) in [
            ("tasks_secret", "short"),
            ("tasks_valkey_url", ""),
            ("tasks_valkey_timeout_ms", "0"),
            ("tasks_retention_s", "1799"),
            ("tasks_topic", ""),
            ("tasks_prefix", "tasks"),
            ("tasks_prefix", "/"),
            ("tasks_prefix", "/tasks/"),
            ("tasks_prefix", "/a/../b"),
            ("tasks_routes", "[]"),
            ("tasks_routes", "{}"),
            ("tasks_routes", r#"[["/a"]]"#),
            ("tasks_routes", r#"[{"path": "a"}]"#),
            ("tasks_routes", r#"[{"path": "/a", "other": 1}]"#),
            ("tasks_subject_header", "a b"),
            ("tasks_body_bytes_max", "524289"),
            ("tasks_anonymous", "yes"),
            ("tasks_credential_headers", "x-a,x:b"),
        ] {
            let error = front(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains(SECRET), "{error}");
        }
        for (name, value) in [
            ("tasks_service_url", ""),
            ("tasks_service_url", "service:80"),
            ("tasks_service_url", "ftp://service"),
            ("tasks_service_url", "http://service/path"),
            ("tasks_service_url", "http://u:p@service"),
            ("tasks_timeout_ms", "600001"),
            ("tasks_attempts_max", "0"),
            ("tasks_retry_s", "86401"),
            ("tasks_retry_after_max_s", "601"),
            ("tasks_result_bytes_max", "1048577"),
        ] {
            let error = worker(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
