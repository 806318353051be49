//! A connection while a component has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use postgres_native_tls::MakeTlsConnector;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, RowStream, SimpleQueryMessage, Statement};

use super::bindings::v4::{Column, Error, ParameterValue, RowSet};
use super::error::{failed, query_failed};
use super::rows::Rows;
use super::value;
use crate::limits::{PREPARED_BYTES_MAX, PREPARED_MAX, RESET_LIMIT};

/// Ends what the previous user of the connection has begun, and restores its settings. `BEGIN` comes
/// first because the server logs a warning if there is no transaction to roll back.
const RESET: &str = "BEGIN; ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; \
                     UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// The number of statements that the component has prepared in SQL, and of the others. This takes the
/// server longer than [`RESET`].
const PREPARED: &str = "SELECT count(*) FILTER (WHERE from_sql), \
                        count(*) FILTER (WHERE NOT from_sql) \
                        FROM pg_catalog.pg_prepared_statements";

/// What a statement contains that prepares others, or removes them.
const PREPARING: [&str; 3] = ["prepare", "deallocate", "discard"];

/// A connection as a resource of a component. Its statements are executed one after another.
pub struct Connection(pub(super) Arc<Session>);

/// A connection from a pool. It is given back when no call and no stream of rows uses it any more.
pub(super) struct Session {
    /// `None` only while this is dropped.
    client: Option<Object>,
    tls: MakeTlsConnector,
    statement_limit: Duration,
    /// Whether a statement reached its time limit. It was cancelled, and the connection is closed.
    is_cancelled: AtomicBool,
    /// Whether a statement may have prepared others in SQL, or removed them.
    has_prepared: AtomicBool,
    /// The statements that may have changed the session, or that may still be executed. If there are
    /// any, the connection is reset.
    changes: AtomicUsize,
}

impl Session {
    pub fn new(client: Object, tls: MakeTlsConnector, statement_limit: Duration) -> Self {
        let (is_cancelled, has_prepared, changes) = Default::default();
        Self { client: Some(client), tls, statement_limit, is_cancelled, has_prepared, changes }
    }

    /// How long a statement may take.
    pub fn statement_limit(&self) -> Duration {
        self.statement_limit
    }

    /// Executes a statement and returns its complete result.
    pub async fn query(
        self: Arc<Self>,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        let session = self.clone();
        self.within_limit(async move {
            let (columns, rows) = session.start(statement, parameters).await?;
            let rows = Rows::new(rows, session, only_reads(statement));
            Ok(RowSet { columns, rows: rows.collect().await? })
        })
        .await
    }

    /// Executes a statement. Its rows arrive later.
    pub async fn stream(
        self: Arc<Self>,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, Rows), Error> {
        let started = self.within_limit(self.start(statement, parameters)).await;
        let (columns, rows) = started?;
        Ok((columns, Rows::new(rows, self, only_reads(statement))))
    }

    /// Executes a statement and returns the number of rows that it changed.
    pub async fn execute(
        self: Arc<Self>,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        self.within_limit(async {
            let mut rows = std::pin::pin!(self.start(statement, parameters).await?.1);
            // Rows of `RETURNING` are not needed.
            while let Some(row) = futures::StreamExt::next(&mut rows).await {
                row.map_err(|error| query_failed(&error))?;
            }
            Ok(rows.rows_affected().unwrap_or_default())
        })
        .await
    }

    /// Notes that a statement that only reads has been executed completely.
    pub fn has_only_read(&self) {
        self.changes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Cancels the statement, which takes too long. The connection cannot be used any more, because
    /// the server may get the request at any time.
    pub fn cancel(&self) {
        if self.is_cancelled.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(client) = &self.client {
            tokio::spawn(cancel(client.cancel_token(), self.tls.clone()));
        }
    }

    async fn within_limit<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(Error::ConnectionFailed(
                "an earlier statement on this connection took too long: open another one".into(),
            ));
        }
        let limit = self.statement_limit;
        timeout(limit, call).await.unwrap_or_else(|_| {
            self.cancel();
            Err(failed(format!("the statement was cancelled after {limit:?}")))
        })
    }

    async fn start(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, RowStream), Error> {
        let client = self.client()?;
        if may_prepare(statement) {
            self.has_prepared.store(true, Ordering::Relaxed);
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        let parameters = value::to_sql(parameters)?;
        let failed = |error: tokio_postgres::Error| query_failed(&error);
        let prepared = prepare(client, statement).await.map_err(failed)?;
        let send = |prepared: Statement| {
            let parameters = parameters.iter().map(|value| &**value as &(dyn ToSql + Sync));
            let parameters: Vec<_> = parameters.collect();
            async move {
                let rows = client.query_raw(&prepared, parameters).await?;
                Ok((prepared, rows))
            }
        };
        let (prepared, rows) = match send(prepared).await {
            Err(outdated) if is_outdated(&outdated) => {
                client.statement_cache.remove(statement, &[]);
                let again = async { send(prepare(client, statement).await?).await };
                // The error has aborted the transaction, if there is one.
                again.await.map_err(|error| match error.code() {
                    Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => outdated,
                    _ => error,
                })
            }
            sent => sent,
        }
        .map_err(failed)?;
        let columns = prepared.columns().iter().map(value::column).collect();
        Ok((columns, rows))
    }

    fn client(&self) -> Result<&Object, Error> {
        self.client.as_ref().ok_or_else(|| Error::ConnectionFailed("it is closed".into()))
    }
}

/// Prepares a statement, or takes the prepared one of an earlier call.
async fn prepare(client: &Object, statement: &str) -> Result<Statement, tokio_postgres::Error> {
    if statement.len() > PREPARED_BYTES_MAX {
        return client.prepare(statement).await;
    }
    if client.statement_cache.size() >= PREPARED_MAX {
        client.statement_cache.clear();
    }
    client.prepare_cached(statement).await
}

/// Whether a statement may prepare others in SQL, or remove them. A function of the database that does
/// this is not noticed: what it has prepared remains, and what it has removed is prepared again.
fn may_prepare(statement: &str) -> bool {
    let statement = statement.to_ascii_lowercase();
    PREPARING.iter().any(|word| statement.contains(word))
}

/// Whether a statement leaves the session as it is: a `SELECT` without parentheses, so that it calls no
/// function of PostgreSQL, and without `INTO`, so that it creates no table. A function that was created in
/// the database can be called in other ways (as an attribute, by an operator, a cast, a view or a policy),
/// which is not noticed.
fn only_reads(statement: &str) -> bool {
    let statement = statement.trim_ascii_start().to_ascii_lowercase();
    statement.starts_with("select") && !statement.contains('(') && !statement.contains("into")
}

/// Whether a prepared statement is no longer valid, because a table has changed or because the component
/// has deallocated it. The server has not executed it.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::FEATURE_NOT_SUPPORTED)
        || code == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => {
                if *self.is_cancelled.get_mut() {
                    drop(Object::take(client));
                    return;
                }
                if *self.changes.get_mut() == 0 {
                    return;
                }
                let has_prepared = *self.has_prepared.get_mut();
                runtime.spawn(give_back(client, self.tls.clone(), has_prepared));
            }
            // The program ends.
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// Resets the connection, so that its pool can give it to another component. If it still executes a
/// statement, the statement is cancelled and the connection is closed.
async fn give_back(client: Object, tls: MakeTlsConnector, has_prepared: bool) {
    let is_clean = match timeout(RESET_LIMIT, reset(&client, has_prepared)).await {
        Ok(Ok(true)) => return,
        result => result.is_ok(),
    };
    let (token, is_open) = (client.cancel_token(), !client.is_closed());
    // From here on the connection does not count for its pool.
    drop(Object::take(client));
    if !is_clean && is_open {
        cancel(token, tls).await;
    }
}

/// Resets the connection. Returns whether it can be used again.
async fn reset(client: &Object, has_prepared: bool) -> Result<bool, tokio_postgres::Error> {
    match client.batch_execute(RESET).await {
        Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
            client.batch_execute("ROLLBACK").await?;
            client.batch_execute(RESET).await?;
        }
        done => done?,
    }
    if !has_prepared {
        return Ok(true);
    }
    let results = client.simple_query(PREPARED).await?;
    let counts = results.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some([row.get(0)?, row.get(1)?]),
        _ => None,
    });
    let [Some(of_component), Some(of_host)] =
        counts.unwrap_or_default().map(|count: &str| count.parse::<usize>().ok())
    else {
        return Ok(false);
    };
    // None of the component may remain, and it must not have removed those of the host. A call that
    // was cancelled may have left one.
    let cached = client.statement_cache.size();
    Ok(of_component == 0 && (cached..=cached + PREPARED_MAX).contains(&of_host))
}

/// Asks the server to cancel the statement of a connection.
async fn cancel(token: CancelToken, tls: MakeTlsConnector) {
    if !matches!(timeout(RESET_LIMIT, token.cancel_query(tls)).await, Ok(Ok(()))) {
        tracing::debug!("a statement of PostgreSQL could not be cancelled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_selects_leave_the_session_as_it_is() {
        for statement in ["SELECT name FROM t WHERE id > $1 ORDER BY id LIMIT $2", "\n select 1"] {
            assert!(only_reads(statement), "{statement}");
        }
        for statement in [
            "SELECT set_config ('role', 'admin', false)",
            "SELECT pg_advisory_lock(1)",
            "SELECT * INTO TEMP copy FROM t",
            "SELECT *\ninto\ntemp copy FROM t",
            "SET ROLE admin",
            "BEGIN",
            "TABLE t",
            "/* SELECT */ LISTEN a",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "",
        ] {
            assert!(!only_reads(statement), "{statement}");
        }
    }
}
