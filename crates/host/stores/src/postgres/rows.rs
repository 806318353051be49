//! The rows of a result.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::StreamExt as _;
use futures::stream::Fuse;
use tokio::time::{Sleep, sleep};
use tokio_postgres::{Row as PgRow, RowStream};

use super::bindings::v4::{DbValue, Error, Row};
use super::error::{failed, query_failed};
use super::session::Session;
use super::value;
use crate::limits::RESULT_BYTES_MAX;
use crate::stream::{Batch, Batches};

/// The rows that are passed to a component at once. Most pages have fewer, so their end arrives with
/// their rows.
const BATCH_MAX: usize = 512;

/// The bytes that are passed to a component at once, unless one row has more.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Rows that arrive from the server at the speed at which they are read.
pub(super) struct Rows {
    rows: Pin<Box<Fuse<RowStream>>>,
    session: Arc<Session>,
    /// Whether the session must learn that all rows were read, because the statement leaves it as it is.
    notes_end: bool,
    /// The end of the wait for the next row, while there is one.
    limit: Option<Pin<Box<Sleep>>>,
}

impl Rows {
    pub fn new(rows: RowStream, session: Arc<Session>, only_reads: bool) -> Self {
        Self { rows: Box::pin(rows.fuse()), session, notes_end: only_reads, limit: None }
    }

    /// All rows, up to the limit for a result.
    pub async fn collect(mut self) -> Result<Vec<Row>, Error> {
        let (mut collected, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.rows.next().await {
            let row = row.map_err(|error| query_failed(&error))?;
            bytes += size(&row);
            if bytes > RESULT_BYTES_MAX {
                return Err(failed(format!(
                    "the result has more than {RESULT_BYTES_MAX} bytes: add LIMIT to the \
                     statement, or read its rows as a stream"
                )));
            }
            collected.push(value::row(&row)?);
        }
        self.note_end();
        Ok(collected)
    }

    /// Notes that all rows were read.
    fn note_end(&mut self) {
        if mem::take(&mut self.notes_end) {
            self.session.has_only_read();
        }
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch<Row>, Error>> {
        let time = self.session.statement_limit();
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(limit.as_mut().poll(cx));
        self.session.cancel();
        Poll::Ready(Err(failed(format!("no row arrived within {time:?}; it was cancelled"))))
    }
}

impl Batches for Rows {
    type Item = Row;
    type Error = Error;

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch<Row>, Error>> {
        let (mut items, mut bytes, mut is_last) = (Vec::new(), 0, false);
        while items.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let row = match self.rows.poll_next_unpin(cx) {
                Poll::Pending if items.is_empty() => return self.poll_limit(cx),
                Poll::Pending => break,
                Poll::Ready(None) => {
                    self.note_end();
                    is_last = true;
                    break;
                }
                Poll::Ready(Some(row)) => row.map_err(|error| query_failed(&error))?,
            };
            if size(&row) > RESULT_BYTES_MAX {
                let message = format!("a row has more than {RESULT_BYTES_MAX} bytes");
                return Poll::Ready(Err(failed(message)));
            }
            bytes += size(&row);
            items.push(value::row(&row)?);
        }
        self.limit = None;
        Poll::Ready(Ok(Batch { items, is_last }))
    }
}

/// The memory that a row needs, at least.
fn size(row: &PgRow) -> usize {
    row.raw_size_bytes() + row.len() * size_of::<DbValue>()
}
