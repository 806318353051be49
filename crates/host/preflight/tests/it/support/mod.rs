//! Shared parts of the tests.

pub mod broker;

use std::future::Future;

use kafka_client::ClientProperties;
use preflight::{Error, Warning};
use test_servers::WAIT_LIMIT;
use tokio::net::TcpListener;

/// Waits for an event that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// The names of the settings in the warnings.
pub fn settings(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.setting.as_str()).collect()
}

pub fn properties(pairs: &[(&str, &str)]) -> ClientProperties {
    pairs.iter().copied().collect()
}

/// A port that accepts connections and never answers.
pub async fn silent_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port on which no server listens.
pub async fn closed_port() -> u16 {
    silent_port().await.1
}

#[track_caller]
pub fn assert_unreachable(error: &Error, server: &str) {
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_retriable(), "{error}");
    assert!(error.to_string().contains(server), "{error}");
}

#[track_caller]
pub fn assert_refused(error: &Error, server: &str, secret: &str) {
    assert!(matches!(error, Error::Refused { .. }) && !error.is_retriable(), "{error}");
    assert!(error.to_string().contains(server), "{error}");
    assert!(!format!("{error} {error:?}").contains(secret), "{error}");
}
