//! All keys of a store, part by part.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::bindings::v3::Error;
use super::store::{KeyPage, Store};
use crate::limits::RESULT_BYTES_MAX;

/// All keys at once, up to the limit for a result.
pub(super) async fn all(store: &Store) -> Result<Vec<String>, Error> {
    let (mut keys, mut bytes, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = store.page(cursor.as_deref()).await?;
        bytes += page.keys.iter().map(|key| key.len() + size_of::<String>()).sum::<usize>();
        if bytes > RESULT_BYTES_MAX {
            return Err(Error::Other(format!("the keys have more than {RESULT_BYTES_MAX} bytes")));
        }
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(keys);
        }
    }
}

/// The keys as a stream for a component, and the result of the stream.
pub(super) fn stream(store: Store) -> (KeyProducer, impl Future<Output = Result<(), Error>>) {
    let (result, outcome) = oneshot::channel();
    let pages = VecDeque::from([None]);
    let producer = KeyProducer { store, pages, page: None, result: Some(result) };
    // Without a result, the component has dropped the stream before its end.
    (producer, async { outcome.await.unwrap_or(Ok(())) })
}

/// The keys as a stream for a component.
pub(super) struct KeyProducer {
    store: Store,
    /// The cursor of the next part; empty after the last one.
    pages: VecDeque<Option<String>>,
    /// The part that is being read.
    page: Option<BoxFuture<'static, Result<KeyPage, Error>>>,
    /// `None` after the end.
    result: Option<oneshot::Sender<Result<(), Error>>>,
}

impl KeyProducer {
    /// The next keys. None of them is the end.
    fn poll_keys(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<String>, Error>> {
        loop {
            if self.page.is_none() {
                let Some(cursor) = self.pages.pop_front() else {
                    return Poll::Ready(Ok(Vec::new()));
                };
                let store = self.store.clone();
                self.page = Some(Box::pin(async move { store.page(cursor.as_deref()).await }));
            }
            let Some(page) = &mut self.page else { continue };
            let read = ready!(page.as_mut().poll(cx));
            self.page = None;
            let page = read?;
            self.pages.extend(page.cursor.map(Some));
            if !page.keys.is_empty() {
                return Poll::Ready(Ok(page.keys));
            }
        }
    }
}

impl<D> StreamProducer<D> for KeyProducer {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, VecBuffer<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // A read without room only asks whether there are keys.
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let producer = self.get_mut();
        let result = match producer.poll_keys(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(keys)) if !keys.is_empty() => {
                destination.set_buffer(keys.into());
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
