//! Streams for components whose items arrive in batches.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

/// Where the items come from.
pub(crate) trait Batches: Send + Unpin + 'static {
    type Item: Send + Sync + Unpin + 'static;
    type Error: Send + 'static;

    /// The next items. It is not called again after the last batch or after an error.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch<Self::Item>, Self::Error>>;
}

/// Items that are passed to a component at once. Only the last batch may be empty.
pub(crate) struct Batch<T> {
    pub items: Vec<T>,
    /// Whether no items follow. The component gets the end with these items, so it needs no other
    /// read to find it.
    pub is_last: bool,
}

/// The items as a stream for a component, and the result of the stream.
pub(crate) fn stream<B: Batches>(
    batches: B,
) -> (Producer<B>, impl Future<Output = wasmtime::Result<Result<(), B::Error>>>) {
    let (result, outcome) = oneshot::channel();
    let producer = Producer { batches, result: Some(result) };
    // Without a result, the component has dropped the stream before its end.
    (producer, async { Ok(outcome.await.unwrap_or(Ok(()))) })
}

/// A stream for a component.
pub(crate) struct Producer<B: Batches> {
    batches: B,
    /// `None` after the end.
    result: Option<oneshot::Sender<Result<(), B::Error>>>,
}

impl<B: Batches, D> StreamProducer<D> for Producer<B> {
    type Item = B::Item;
    type Buffer = VecBuffer<B::Item>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // After the last batch, wasmtime asks again if the component has read it in parts.
        if self.result.is_none() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        // A read without room only asks whether there are items.
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let producer = self.get_mut();
        let result = match producer.batches.poll_batch(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(Batch { items, is_last })) => {
                destination.set_buffer(items.into());
                if !is_last {
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error),
        };
        if let Some(sender) = producer.result.take() {
            // The component may have dropped the future.
            let _ = sender.send(result);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}
