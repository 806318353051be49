//! A connection while a component has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Object;
use postgres_native_tls::MakeTlsConnector;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{RowStream, Statement};

use super::bindings::v4::{Column, Error, ParameterValue, RowSet};
use super::error::{failed, query_failed};
use super::rows::Rows;
use super::value;
use crate::limits::{PREPARED_BYTES_MAX, PREPARED_MAX, RESET_LIMIT, STATEMENT_LIMIT};

/// Ends what the previous user of the connection has begun, and restores its settings. `BEGIN` comes
/// first because the server logs a warning if there is no transaction to roll back.
const RESET: &str = "BEGIN; ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; \
                     UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// A connection as a resource of a component. Its statements are executed one after another.
pub struct Connection(pub(super) Arc<Session>);

/// A connection from a pool. It is given back when no call and no stream of rows uses it any more.
pub(super) struct Session {
    /// `None` only while this is dropped.
    client: Option<Object>,
    tls: MakeTlsConnector,
    /// Whether a statement reached its time limit. It still runs, so the connection is closed.
    is_stuck: AtomicBool,
}

impl Session {
    pub fn new(client: Object, tls: MakeTlsConnector) -> Self {
        Self { client: Some(client), tls, is_stuck: AtomicBool::new(false) }
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
            Ok(RowSet { columns, rows: Rows::new(rows, session).collect().await? })
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
        started.map(|(columns, rows)| (columns, Rows::new(rows, self)))
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

    /// Marks the connection as one that executes a statement for too long.
    pub fn mark_stuck(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
    }

    async fn within_limit<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if self.is_stuck.load(Ordering::Relaxed) {
            return Err(Error::ConnectionFailed(
                "an earlier statement on this connection took too long: open another one".into(),
            ));
        }
        timeout(STATEMENT_LIMIT, call).await.unwrap_or_else(|_| {
            self.mark_stuck();
            Err(failed(format!("the statement was cancelled after {STATEMENT_LIMIT:?}")))
        })
    }

    async fn start(
        &self,
        statement: &str,
        parameters: Vec<ParameterValue>,
    ) -> Result<(Vec<Column>, RowStream), Error> {
        let client = self.client()?;
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
            Err(error) if is_outdated(&error) => {
                client.statement_cache.remove(statement, &[]);
                let prepared = prepare(client, statement).await.map_err(failed)?;
                send(prepared).await.map_err(failed)?
            }
            sent => sent.map_err(failed)?,
        };
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
                let is_stuck = *self.is_stuck.get_mut();
                runtime.spawn(give_back(client, self.tls.clone(), is_stuck));
            }
            // The program ends.
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// Resets the connection, so that its pool can give it to another component. If it still executes a
/// statement, the statement is cancelled and the connection is closed.
async fn give_back(client: Object, tls: MakeTlsConnector, is_stuck: bool) {
    if !is_stuck && let Ok(Ok(())) = timeout(RESET_LIMIT, client.batch_execute(RESET)).await {
        return;
    }
    let cancel = client.cancel_token();
    let is_open = !client.is_closed();
    // From here on the connection does not count for its pool.
    drop(Object::take(client));
    if is_open && !matches!(timeout(RESET_LIMIT, cancel.cancel_query(tls)).await, Ok(Ok(()))) {
        tracing::debug!("a statement of PostgreSQL could not be cancelled");
    }
}
