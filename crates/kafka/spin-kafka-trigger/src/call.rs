//! Runs each call of the handler in a separate task.
//!
//! A handler that panics or never yields then affects its own call only, and the task of the
//! partition can still be stopped.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::{Answer, Batch, Failure, Handler, Position};

type Call<T> = AbortOnDropHandle<Result<T, Failure>>;

/// [`Handler`] with boxed calls, so that the engine is compiled only once for all handlers.
pub(crate) trait ErasedHandler: Send + Sync {
    fn handle(self: Arc<Self>, batch: Arc<Batch>) -> Call<Answer>;
    fn position(
        self: Arc<Self>,
        group: Arc<str>,
        topic: Arc<str>,
        log_id: Arc<str>,
        partition: i32,
    ) -> Call<Position>;
}

impl<H: Handler> ErasedHandler for H {
    fn handle(self: Arc<Self>, batch: Arc<Batch>) -> Call<Answer> {
        let call = async move { Handler::answer(&*self, batch).await };
        AbortOnDropHandle::new(tokio::spawn(call))
    }

    fn position(
        self: Arc<Self>,
        group: Arc<str>,
        topic: Arc<str>,
        log_id: Arc<str>,
        partition: i32,
    ) -> Call<Position> {
        let call =
            async move { Handler::position(&*self, &group, &topic, &log_id, partition).await };
        AbortOnDropHandle::new(tokio::spawn(call))
    }
}

/// Waits for the handler's answer.
pub(crate) async fn answer<T>(call: Call<T>) -> Result<T, Failure> {
    call.await.unwrap_or_else(|error| Err(Failure::Trap(reason(error))))
}

fn reason(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("the handler panicked: {}", text.unwrap_or("no message"))
        }
        Err(_) => "the handler's task was cancelled".into(),
    }
}
