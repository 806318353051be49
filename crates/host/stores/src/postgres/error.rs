//! The errors of the interface.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use deadpool_postgres::TimeoutType;
use tokio_postgres::error::DbError;

use super::bindings::v4::{self, Error, QueryError};
use crate::limits::{CONNECT_LIMIT, WAIT_LIMIT};

/// Why there is no connection to these servers.
pub(super) fn connection_failed(servers: &str, connections_max: usize, error: &PoolError) -> Error {
    Error::ConnectionFailed(match error {
        PoolError::Timeout(TimeoutType::Wait) => format!(
            "all {connections_max} connections to {servers} are in use, and none became free \
             within {WAIT_LIMIT:?}: drop connections sooner, or raise `max_connections` under \
             [outbound_pg] in the runtime configuration file"
        ),
        PoolError::Timeout(_) => format!("no connection to {servers} within {CONNECT_LIMIT:?}"),
        PoolError::Backend(error) => format!("{servers}: {}", text(error)),
        other => format!("{servers}: {other}"),
    })
}

/// Why a statement failed.
pub(super) fn query_failed(error: &tokio_postgres::Error) -> Error {
    let as_text = text(error);
    Error::QueryFailed(match error.as_db_error() {
        None => QueryError::Text(as_text),
        Some(error) => QueryError::DbError(v4::DbError {
            as_text,
            severity: error.severity().into(),
            code: error.code().code().into(),
            message: error.message().into(),
            detail: error.detail().map(Into::into),
            extras: extras(error),
        }),
    })
}

/// A failure that is not an answer of the server.
pub(super) fn failed(message: String) -> Error {
    Error::QueryFailed(QueryError::Text(message))
}

/// The error with its causes.
fn text(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The fields of a server's error that the record does not have, with the names that Spin uses.
fn extras(error: &DbError) -> Vec<(String, String)> {
    let fields = [
        ("column", error.column().map(Into::into)),
        ("constraint", error.constraint().map(Into::into)),
        ("routine", error.routine().map(Into::into)),
        ("hint", error.hint().map(Into::into)),
        ("table", error.table().map(Into::into)),
        ("datatype", error.datatype().map(Into::into)),
        ("schema", error.schema().map(Into::into)),
        ("file", error.file().map(Into::into)),
        ("line", error.line().map(|line| line.to_string())),
        ("where_", error.where_().map(Into::into)),
    ];
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    present.collect()
}
