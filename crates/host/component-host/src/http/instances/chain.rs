//! Passes a complete request through middleware to the handler behind it.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, FutureExt as _, maybe_done, select};
use futures::stream::StreamExt as _;
use http::{Method, Request, Response};
use tokio::sync::watch;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ExpirationError;

use super::whole::{into_complete, lift};
use crate::whole::{
    Action, Changes, Decision, EarlyAnswer, Event, Head, Sending, WholeBody, WholeResponse,
    change_request, fields_of_guest, head_to_guest, response_body_to_guest, response_head_to_guest,
};

/// The most actions of a middleware for one request.
const ACTIONS_MAX: usize = 100;

/// How long middleware may take to end its exchanges when the time of the request has passed.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

const NO_RESPONSE: &str = "middleware needs a response, and there is none";

/// What a middleware exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Filter,
    Interceptor,
}

/// The calls of one instance: of its middleware by their positions, from the outermost, and of its
/// handler.
pub(super) trait Calls: Send + Sync {
    /// What the middleware at this position exports; `None` behind the last one.
    fn kind(&self, position: usize) -> Option<Kind>;

    fn decide(
        &self,
        position: usize,
        head: Head,
    ) -> impl Future<Output = wasmtime::Result<Decision>> + Send;

    fn begin(
        &self,
        position: usize,
        head: Head,
    ) -> impl Future<Output = wasmtime::Result<Action>> + Send;

    fn resume(
        &self,
        position: usize,
        exchange: u64,
        event: Event,
    ) -> impl Future<Output = wasmtime::Result<Action>> + Send;

    fn handle(
        &self,
        request: Request<WholeBody>,
    ) -> impl Future<Output = wasmtime::Result<WholeResponse>> + Send;
}

/// A request on its way.
struct Chain<'a, C> {
    calls: Arc<C>,
    is_head: bool,
    /// Takes what goes on without the client: calls that cannot be cancelled, and work after an
    /// answer.
    rest: mpsc::UnboundedSender<BoxFuture<'a, ()>>,
    /// Whether the time of the request has passed.
    is_over: watch::Receiver<bool>,
}

impl<C> Clone for Chain<'_, C> {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
            is_head: self.is_head,
            rest: self.rest.clone(),
            is_over: self.is_over.clone(),
        }
    }
}

type Passed = wasmtime::Result<Response<WholeBody>>;

/// Passes a request through the middleware, and answers it. What goes on after that is a part of the
/// request until `expiration`. Returns whether all of it was in time.
pub(super) async fn run<'a, C: Calls + 'a>(
    calls: C,
    request: Request<WholeBody>,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    expiration: impl Future<Output = ()>,
) -> bool {
    let (rest, later) = mpsc::unbounded();
    let (end, is_over) = watch::channel(false);
    let is_head = request.method() == Method::HEAD;
    let chain = Chain { calls: Arc::new(calls), is_head, rest, is_over };
    let mut expiration = pin!(expiration);
    let mut later = pin!(maybe_done(later.buffer_unordered(ACTIONS_MAX).collect::<()>()));
    let response = async {
        match select(chain.call(0, request), later.as_mut()).await {
            Either::Left((response, _)) => response,
            Either::Right(((), response)) => response.await,
        }
    };
    let (result, in_time) = match select(pin!(response), expiration.as_mut()).await {
        Either::Left((result, _)) => (result, true),
        Either::Right(((), _)) => (Err(ExpirationError.into()), false),
    };
    // `send` fails if the caller no longer waits.
    let _ = answer.send(result.map(into_complete));
    if !in_time {
        return false;
    }
    if let Either::Left(_) = select(later.as_mut(), expiration).await {
        return true;
    }
    // Middleware gets the results that it waits for, because it may have others wait for them.
    end.send_replace(true);
    tokio::time::timeout(CLOSE_LIMIT, later).await.is_ok()
}

impl<'a, C: Calls + 'a> Chain<'a, C> {
    /// Passes a request to the middleware at this position, or to the handler behind the last one.
    fn call(self, position: usize, request: Request<WholeBody>) -> BoxFuture<'a, Passed> {
        match self.calls.kind(position) {
            None => self.handle(request).boxed(),
            Some(Kind::Filter) => self.filter(position, request).boxed(),
            Some(Kind::Interceptor) => {
                let begun = async move {
                    let head = head_to_guest(&request);
                    let action = self.calls.begin(position, head).await?;
                    self.follow(position, request, action, false).await
                };
                begun.boxed()
            }
        }
    }

    /// Calls the handler. The call itself cannot be cancelled.
    async fn handle(self, request: Request<WholeBody>) -> Passed {
        let Self { calls, is_head, mut is_over, rest: _rest } = self;
        let over = is_over.wait_for(|is_over| *is_over);
        match select(pin!(calls.handle(request)), pin!(over)).await {
            Either::Left((response, _)) => lift(response?, is_head),
            Either::Right(_) => Err(ExpirationError.into()),
        }
    }

    async fn filter(self, position: usize, mut request: Request<WholeBody>) -> Passed {
        match self.calls.decide(position, head_to_guest(&request)).await? {
            Decision::Answer(response) => lift(response, self.is_head),
            Decision::Pass(Changes { remove, insert, response }) => {
                change_request(&mut request, remove, insert).map_err(invalid)?;
                let fields = fields_of_guest(response).map_err(invalid)?;
                let mut response = self.call(position + 1, request).await?;
                // The outermost has the last word, as with streams.
                response.headers_mut().extend(fields);
                Ok(response)
            }
        }
    }

    /// Does what an interceptor says, until its exchange ends.
    fn follow(
        self,
        position: usize,
        request: Request<WholeBody>,
        mut action: Action,
        is_answered: bool,
    ) -> BoxFuture<'a, Passed> {
        let followed = async move {
            let mut last = None;
            for _ in 0..ACTIONS_MAX {
                let (exchange, event) = match action {
                    Action::Send(sending) => {
                        let exchange = sending.exchange;
                        let (event, response) = match self.send(position, &request, sending).await {
                            None => (Event::TimedOut, None),
                            Some(Err(error)) => (Event::Failed(format!("{error:#}")), None),
                            Some(Ok(response)) => {
                                let head = response_head_to_guest(&response);
                                (Event::Response(head), Some(response))
                            }
                        };
                        last = response;
                        (exchange, event)
                    }
                    Action::Receive(exchange) => {
                        let event = match &last {
                            Some(response) => Event::Body(response_body_to_guest(response)),
                            None => Event::Failed(NO_RESPONSE.into()),
                        };
                        (exchange, event)
                    }
                    Action::Pass(fields) => {
                        let mut response = last.ok_or_else(|| wasmtime::Error::msg(NO_RESPONSE))?;
                        let fields = fields_of_guest(fields).map_err(invalid)?;
                        response.headers_mut().extend(fields);
                        return Ok(response);
                    }
                    Action::Answer(response) => return lift(response, self.is_head),
                    Action::AnswerFirst(EarlyAnswer { exchange, response }) if !is_answered => {
                        self.go_on(self.clone().finish(position, request, exchange).boxed());
                        return lift(response, self.is_head);
                    }
                    Action::AnswerFirst(_) => {
                        return Err(wasmtime::Error::msg("middleware answers a request twice"));
                    }
                    Action::Finish => return Err(wasmtime::Error::msg(NO_RESPONSE)),
                    Action::Fail(reason) => {
                        return Err(wasmtime::format_err!("middleware has failed: {reason}"));
                    }
                };
                action = self.calls.resume(position, exchange, event).await?;
            }
            Err(wasmtime::format_err!("middleware takes more than {ACTIONS_MAX} actions"))
        };
        followed.boxed()
    }

    /// Passes a request on; `None` if there is no response in time.
    async fn send(
        &self,
        position: usize,
        request: &Request<WholeBody>,
        sending: Sending,
    ) -> Option<Passed> {
        let mut request = request.clone();
        let changed = change_request(&mut request, sending.remove, sending.insert);
        if let Err(fault) = changed {
            return Some(Err(invalid(fault)));
        }
        let mut response = self.clone().call(position + 1, request);
        let Some(limit) = sending.timeout_ms else { return Some(response.await) };
        let limit = Duration::from_millis(limit.into());
        match tokio::time::timeout(limit, &mut response).await {
            Ok(result) => Some(result),
            Err(_) => {
                self.go_on(response.map(drop).boxed());
                None
            }
        }
    }

    /// Resumes an exchange whose client is answered.
    async fn finish(self, position: usize, request: Request<WholeBody>, exchange: u64) {
        let resumed = self.calls.resume(position, exchange, Event::Answered).await;
        if let Ok(action) = resumed {
            // Nobody gets the response, and a failure is known to the middleware.
            drop(self.follow(position, request, action, true).await);
        }
    }

    /// Does this work without the client.
    fn go_on(&self, work: BoxFuture<'a, ()>) {
        // It fails only if the request has ended already.
        let _ = self.rest.unbounded_send(work);
    }
}

fn invalid(fault: Cow<'static, str>) -> wasmtime::Error {
    wasmtime::format_err!("the changes of middleware have {fault}")
}

#[cfg(test)]
mod tests;
