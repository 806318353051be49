//! All keys of a store, part by part.

use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;

use super::bindings::v3::Error;
use super::store::{FIRST, KeyPage, Store};
use crate::limits::{RESULT_BYTES_MAX, STATEMENT_LIMIT};
use crate::stream::{Batch, Batches};

/// All keys at once, up to the limits for a result and for a call.
pub(super) async fn all(store: &Store) -> Result<Vec<String>, Error> {
    let listed = tokio::time::timeout(STATEMENT_LIMIT, list(store)).await;
    listed.unwrap_or_else(|_| {
        Err(Error::Other(format!("the keys were not listed within {STATEMENT_LIMIT:?}")))
    })
}

async fn list(store: &Store) -> Result<Vec<String>, Error> {
    let (mut keys, mut bytes, mut cursor) = (Vec::new(), 0, FIRST.to_owned());
    loop {
        let page = store.page(&cursor).await?;
        bytes += page.keys.iter().map(|key| key.len() + size_of::<String>()).sum::<usize>();
        if bytes > RESULT_BYTES_MAX {
            return Err(Error::Other(format!("the keys have more than {RESULT_BYTES_MAX} bytes")));
        }
        keys.extend(page.keys);
        let Some(next) = page.cursor else { return Ok(keys) };
        cursor = next;
    }
}

/// The keys of a store, part by part.
pub(super) struct Keys {
    store: Store,
    /// The cursor of the next part; `None` after the last one, and while a part is being read.
    next: Option<String>,
    /// The part that is being read.
    page: Option<BoxFuture<'static, Result<KeyPage, Error>>>,
}

impl Keys {
    pub fn new(store: Store) -> Self {
        Self { store, next: Some(FIRST.to_owned()), page: None }
    }
}

impl Batches for Keys {
    type Item = String;
    type Error = Error;

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch<String>, Error>> {
        loop {
            if let Some(cursor) = self.next.take() {
                let store = self.store.clone();
                self.page = Some(Box::pin(async move { store.page(&cursor).await }));
            }
            let Some(page) = &mut self.page else {
                return Poll::Ready(Ok(Batch { items: Vec::new(), is_last: true }));
            };
            let read = ready!(page.as_mut().poll(cx));
            self.page = None;
            let KeyPage { keys: items, cursor } = read?;
            self.next = cursor;
            let is_last = self.next.is_none();
            if is_last || !items.is_empty() {
                return Poll::Ready(Ok(Batch { items, is_last }));
            }
        }
    }
}
