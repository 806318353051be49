//! Failures of the database.

use http::StatusCode;
use intake::Problem;

/// What the client library of Doorbuster and Spin says about a lost connection.
const LOST: [&str; 2] = ["connection closed", "error communicating with the server"];

/// What Doorbuster says about a statement that reached its own time limit.
const CANCELLED: &str = "the statement was cancelled after";

/// Why the database did not do what a request asks for. The texts are for the log: they contain host
/// names and values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or can do nothing at the moment. A change may have been made.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A statement took too long. A change may have been made: the host may give up waiting for a
    /// statement that PostgreSQL completes.
    #[error("a statement took too long: {0}")]
    TimedOut(String),
    /// Another student has the same number of a file, or the same document. The change was not made.
    #[error("the student is not unique: {0}")]
    Duplicate(String),
    /// A fault of this service or of the schema. The change was not made.
    #[error("the database refused a statement: {0}")]
    Refused(String),
}

impl StoreError {
    /// The error that a SQLSTATE of PostgreSQL stands for.
    pub fn from_sqlstate(code: &str, text: impl Into<String>) -> Self {
        let text = format!("{}, SQLSTATE {code}", text.into());
        match code {
            "23505" => Self::Duplicate(text),
            "57014" => Self::TimedOut(text),
            // Conflicts with other transactions, locks, and a server that is read-only after a
            // failover.
            "40001" | "40P01" | "55P03" | "25006" => Self::Unavailable(text),
            // Connections, resources, and a server that starts or stops.
            _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                Self::Unavailable(text)
            }
            _ => Self::Refused(text),
        }
    }

    /// The error that the text of a failure without a SQLSTATE stands for: the database did not report it.
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        if LOST.iter().any(|part| text.contains(part)) {
            Self::Unavailable(text)
        } else if text.contains(CANCELLED) {
            Self::TimedOut(text)
        } else {
            Self::Refused(text)
        }
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let (kind, status, detail) = match error {
            StoreError::Unavailable(_) => (
                "urn:doorbuster:problem:unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the database is not available; a change may have been made",
            ),
            StoreError::TimedOut(_) => (
                "urn:doorbuster:problem:timed-out",
                StatusCode::GATEWAY_TIMEOUT,
                "the database took too long; a change may have been made",
            ),
            StoreError::Duplicate(_) => (
                "urn:university:problem:duplicate",
                StatusCode::CONFLICT,
                "another student has the same nro_legajo, or the same document; nothing was changed",
            ),
            StoreError::Refused(_) => (
                "urn:university:problem:internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "a fault of this service; nothing was changed",
            ),
        };
        Self::new(kind, status, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_failure_has_its_status() {
        for (code, status) in [
            ("08006", 503),
            ("53300", 503),
            ("57P01", 503),
            ("57P03", 503),
            ("58030", 503),
            ("40001", 503),
            ("40P01", 503),
            ("55P03", 503),
            ("25006", 503),
            ("57014", 504),
            ("23505", 409),
            ("23514", 500),
            ("42P01", 500),
            ("", 500),
        ] {
            let error = StoreError::from_sqlstate(code, "10.0.0.1");
            let problem = Problem::from(&error);
            assert_eq!(problem.status, status, "{code}");
            assert!(!problem.detail.contains("10.0.0.1"), "for the log only");
        }
    }

    #[test]
    fn only_a_lost_connection_is_a_database_that_is_not_available() {
        for (text, status) in [
            ("connection closed", 503),
            ("error communicating with the server: Connection reset by peer (os error 104)", 503),
            ("the statement was cancelled after 25s", 504),
            ("error serializing parameter 1: cannot convert", 500),
            ("error deserializing column 0", 500),
            ("expected 2 parameters but got 1", 500),
        ] {
            assert_eq!(Problem::from(&StoreError::from_text(text)).status, status, "{text}");
        }
    }
}
