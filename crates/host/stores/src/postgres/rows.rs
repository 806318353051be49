//! The rows of a result.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::StreamExt as _;
use futures::stream::Fuse;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tokio_postgres::{Row as PgRow, RowStream};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::bindings::v4::{DbValue, Error, Row};
use super::error::{failed, query_failed};
use super::session::Session;
use super::value;
use crate::limits::{RESULT_BYTES_MAX, STATEMENT_LIMIT};

/// The rows that are passed to a component at once.
const BATCH_MAX: usize = 100;

/// The bytes that are passed to a component at once, unless one row has more.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Rows that arrive from the server at the speed at which they are read.
pub(super) struct Rows {
    rows: Pin<Box<Fuse<RowStream>>>,
    session: Arc<Session>,
}

impl Rows {
    pub fn new(rows: RowStream, session: Arc<Session>) -> Self {
        Self { rows: Box::pin(rows.fuse()), session }
    }

    /// All rows, up to the limit for a result.
    pub async fn collect(mut self) -> Result<Vec<Row>, Error> {
        let (mut collected, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.rows.next().await {
            let row = row.map_err(|error| query_failed(&error))?;
            bytes += size(&row);
            check_size(bytes)?;
            collected.push(value::row(&row)?);
        }
        Ok(collected)
    }

    /// The rows as a stream for a component, and the result of the stream.
    pub fn into_stream(self) -> (RowProducer, impl Future<Output = Result<(), Error>>) {
        let (result, outcome) = oneshot::channel();
        let producer = RowProducer { rows: self, result: Some(result), limit: None };
        // Without a result, the component has dropped the stream before its end.
        (producer, async { outcome.await.unwrap_or(Ok(())) })
    }
}

/// The memory that a row needs, at least.
fn size(row: &PgRow) -> usize {
    row.raw_size_bytes() + row.len() * size_of::<DbValue>()
}

fn check_size(bytes: usize) -> Result<(), Error> {
    if bytes <= RESULT_BYTES_MAX {
        return Ok(());
    }
    Err(failed(format!(
        "the result has more than {RESULT_BYTES_MAX} bytes: add LIMIT to the statement, or read its \
         rows as a stream"
    )))
}

/// The rows as a stream for a component.
pub(super) struct RowProducer {
    rows: Rows,
    /// `None` after the end.
    result: Option<oneshot::Sender<Result<(), Error>>>,
    /// The end of the wait for the next row, while there is one.
    limit: Option<Pin<Box<Sleep>>>,
}

impl RowProducer {
    /// The next rows. None of them is the end.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Row>, Error>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let row = match self.rows.rows.poll_next_unpin(cx) {
                Poll::Pending if batch.is_empty() => return self.poll_limit(cx),
                Poll::Pending | Poll::Ready(None) => break,
                Poll::Ready(Some(row)) => row.map_err(|error| query_failed(&error))?,
            };
            check_size(size(&row))?;
            bytes += size(&row);
            batch.push(value::row(&row)?);
        }
        self.limit = None;
        Poll::Ready(Ok(batch))
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Row>, Error>> {
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(STATEMENT_LIMIT)));
        ready!(limit.as_mut().poll(cx));
        self.rows.session.mark_stuck();
        Poll::Ready(Err(failed(format!("no row arrived within {STATEMENT_LIMIT:?}"))))
    }
}

impl<D> StreamProducer<D> for RowProducer {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Row, VecBuffer<Row>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // A read without room only asks whether there are rows.
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let producer = self.get_mut();
        let result = match producer.poll_batch(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(batch)) if !batch.is_empty() => {
                destination.set_buffer(batch.into());
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            Poll::Ready(result) => result.map(drop),
        };
        if let Some(sender) = producer.result.take() {
            // The component may have dropped the future.
            let _ = sender.send(result);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}
