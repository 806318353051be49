//! Passes a complete request through middleware to the handler behind it, or to another server.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, FutureExt as _, maybe_done, pending, select};
use futures::stream::StreamExt as _;
use http::{Method, Request, Response};
use tokio_util::sync::CancellationToken;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ExpirationError;

use super::response_body::{ResponseBody, into_response};
use super::whole::lift;
use crate::outbound::interrupted;
use crate::whole::{
    Action, Changes, Decision, EarlyAnswer, Event, Head, Receiving, SendError, Sending, WholeBody,
    WholeResponse, address, body_to_guest, change_request, change_response, head_to_guest,
    remove_forbidden, response_head_to_guest,
};

/// The most actions of a middleware for one request.
const ACTIONS_MAX: usize = 100;

const NO_RESPONSE: &str = "middleware needs a response, and there is none";

const WRONG_SERVER: &str = "a component that ends a chain must name the server of each request, and \
                            middleware must not name one";

/// What middleware, or a component that forwards requests, exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Filter,
    Interceptor,
}

/// The calls of one instance: of its middleware by their positions, from the outermost, and of its
/// handler. In place of the handler, an interceptor may forward requests; it has the last position.
pub(super) trait Calls: Send + Sync {
    /// What the middleware at this position exports; `None` behind the last one.
    fn kind(&self, position: usize) -> Option<Kind>;

    /// Whether the interceptor at this position forwards requests.
    fn is_forwarding(&self, position: usize) -> bool;

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

    /// Sends a request to another server.
    fn forward(
        &self,
        request: Request<WholeBody>,
    ) -> impl Future<Output = Result<Response<WasiBody>, SendError>> + Send;

    /// Reports a failure of which the client does not learn.
    fn report(&self, error: &wasmtime::Error);
}

/// A request on its way.
struct Chain<'a, C> {
    calls: Arc<C>,
    is_head: bool,
    /// Takes what goes on without the client: calls that cannot be cancelled, and work after an
    /// answer.
    rest: mpsc::UnboundedSender<BoxFuture<'a, ()>>,
    /// Cancelled when the response is no longer needed: when the time of the request, or a time limit of
    /// middleware before, has passed. Exchanges end then.
    scope: CancellationToken,
}

impl<C> Clone for Chain<'_, C> {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
            is_head: self.is_head,
            rest: self.rest.clone(),
            scope: self.scope.clone(),
        }
    }
}

type Passed = wasmtime::Result<Response<ResponseBody>>;

/// How a request ended.
pub(super) struct Ended<'a> {
    /// Whether it was answered before its expiration.
    pub in_time: bool,
    /// The calls that have not returned after that, if any.
    pub hanging: Option<BoxFuture<'a, ()>>,
}

/// How a request ended that was passed on.
enum Sent {
    Responded(Box<Response<ResponseBody>>),
    Failed(wasmtime::Error),
    TimedOut,
    Cancelled,
}

/// Passes a request through the middleware, and answers it. What goes on after that is a part of the
/// request until `expiration`.
pub(super) async fn run<'a, C: Calls + 'a>(
    calls: C,
    request: Request<WholeBody>,
    answer: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>,
    expiration: impl Future<Output = ()>,
) -> Ended<'a> {
    let (rest, later) = mpsc::unbounded();
    let scope = CancellationToken::new();
    let is_head = request.method() == Method::HEAD;
    let chain = Chain { calls: Arc::new(calls), is_head, rest, scope: scope.clone() };
    let mut expiration = pin!(expiration);
    // The number is limited by that of the actions.
    let later = later.buffer_unordered(usize::MAX).collect::<()>();
    let mut later = Box::pin(maybe_done(later));
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
    let _ = answer.send(result.map(into_response));
    if !in_time {
        return Ended { in_time, hanging: None };
    }
    if let Either::Left(_) = select(later.as_mut(), expiration).await {
        return Ended { in_time, hanging: None };
    }
    // The exchanges end, because other requests may wait for them.
    scope.cancel();
    Ended { in_time, hanging: Some(later) }
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

    /// Calls the handler. The call cannot be cancelled.
    async fn handle(self, request: Request<WholeBody>) -> Passed {
        if self.scope.is_cancelled() {
            return Err(ExpirationError.into());
        }
        let response = lift(self.calls.handle(request).await?, self.is_head);
        // Middleware may answer in its place.
        response.inspect_err(|error| self.calls.report(error))
    }

    /// Sends a request to another server, as long as the response is needed.
    async fn forward(self, request: Request<WholeBody>) -> Passed {
        let forwarded = self.scope.run_until_cancelled(self.calls.forward(request)).await;
        let mut response = forwarded.ok_or(ExpirationError)??;
        remove_forbidden(response.headers_mut());
        Ok(response.map(ResponseBody::Streamed))
    }

    async fn filter(self, position: usize, mut request: Request<WholeBody>) -> Passed {
        match self.calls.decide(position, head_to_guest(&request)).await? {
            Decision::Answer(response) => lift(response, self.is_head),
            Decision::Pass(Changes { remove, insert, response }) => {
                change_request(&mut request, remove, insert).map_err(invalid)?;
                let is_head = self.is_head;
                let mut passed = self.call(position + 1, request).await?;
                // The outermost has the last word, as with streams.
                change_response(&mut passed, response, is_head).map_err(invalid)?;
                Ok(passed)
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
                        // It is not kept during a pause.
                        last = None;
                        let event = match self.send(position, &request, sending).await {
                            Sent::TimedOut => Event::TimedOut,
                            Sent::Cancelled => {
                                return self.cancel(position, exchange, ExpirationError).await;
                            }
                            Sent::Failed(error) => Event::Failed(send_error(error)),
                            Sent::Responded(response) => {
                                let head = response_head_to_guest(&response);
                                last = Some(*response);
                                Event::Response(head)
                            }
                        };
                        (exchange, event)
                    }
                    Action::ReceiveRequest(Receiving { exchange, bytes_max }) => {
                        let body = request.body();
                        let is_permitted = body.data.len() as u64 <= bytes_max;
                        let event = match is_permitted {
                            true => Event::Body(body_to_guest(body)),
                            false => Event::TooLong,
                        };
                        (exchange, event)
                    }
                    Action::ReceiveResponse(Receiving { exchange, bytes_max }) => {
                        let received = self.receive(&mut last, bytes_max);
                        match self.scope.run_until_cancelled(received).await {
                            Some(event) => (exchange, event),
                            None => return self.cancel(position, exchange, ExpirationError).await,
                        }
                    }
                    Action::Pass(fields) => {
                        let mut response = last.ok_or_else(|| wasmtime::Error::msg(NO_RESPONSE))?;
                        change_response(&mut response, fields, self.is_head).map_err(invalid)?;
                        return Ok(response);
                    }
                    Action::Answer(response) => return lift(response, self.is_head),
                    Action::AnswerFirst(EarlyAnswer { exchange, response }) if !is_answered => {
                        self.go_on(self.clone().finish(position, request, exchange).boxed());
                        return lift(response, self.is_head);
                    }
                    Action::AnswerFirst(EarlyAnswer { exchange, .. }) => {
                        let error = wasmtime::Error::msg("middleware answers a request twice");
                        return self.cancel(position, exchange, error).await;
                    }
                    // The client already has its answer, so this response is dropped.
                    Action::Finish if is_answered => return Ok(Response::default()),
                    Action::Finish => return Err(wasmtime::Error::msg(NO_RESPONSE)),
                    Action::Fail(reason) => {
                        return Err(wasmtime::format_err!("middleware has failed: {reason}"));
                    }
                };
                action = self.calls.resume(position, exchange, event).await?;
            }
            let error = wasmtime::format_err!("middleware takes more than {ACTIONS_MAX} actions");
            match action {
                Action::Send(Sending { exchange, .. })
                | Action::ReceiveRequest(Receiving { exchange, .. })
                | Action::ReceiveResponse(Receiving { exchange, .. })
                | Action::AnswerFirst(EarlyAnswer { exchange, .. }) => {
                    self.cancel(position, exchange, error).await
                }
                Action::Pass(_) | Action::Answer(_) | Action::Finish | Action::Fail(_) => {
                    Err(error)
                }
            }
        };
        followed.boxed()
    }

    /// Receives the body of the last response.
    async fn receive(&self, last: &mut Option<Response<ResponseBody>>, bytes_max: u64) -> Event {
        let Some(response) = last.take() else {
            return Event::Failed(SendError::Other(NO_RESPONSE.into()));
        };
        let (head, mut body) = response.into_parts();
        let event = match body.receive(&head.headers, bytes_max).await {
            Ok(Some(body)) => Event::Body(body_to_guest(body)),
            Ok(None) => Event::TooLong,
            // There is no response any more.
            Err(error) => return Event::Failed(interrupted(&error)),
        };
        *last = Some(Response::from_parts(head, body));
        event
    }

    /// Ends an exchange for this reason, so that middleware drops what it has for it.
    async fn cancel(
        &self,
        position: usize,
        exchange: u64,
        reason: impl Into<wasmtime::Error>,
    ) -> Passed {
        self.calls.resume(position, exchange, Event::Cancelled).await?;
        Err(reason.into())
    }

    /// Sends a request, after a pause.
    async fn send(&self, position: usize, request: &Request<WholeBody>, sending: Sending) -> Sent {
        let Sending { server, remove, insert, after_ms, timeout_ms, .. } = sending;
        if server.is_some() != self.calls.is_forwarding(position) {
            return Sent::Failed(wasmtime::Error::msg(WRONG_SERVER));
        }
        let mut request = request.clone();
        if let Err(fault) = change_request(&mut request, remove, insert) {
            return Sent::Failed(invalid(fault));
        }
        if after_ms > 0 {
            let pause = tokio::time::sleep(Duration::from_millis(after_ms.into()));
            self.scope.run_until_cancelled(pause).await;
        }
        if self.scope.is_cancelled() {
            return Sent::Cancelled;
        }
        let scope = self.scope.child_token();
        let next = Self { scope: scope.clone(), ..self.clone() };
        let mut response = match server {
            None => next.call(position + 1, request),
            Some(server) => match address(request, &server) {
                Ok(request) => next.forward(request).boxed(),
                Err(fault) => {
                    return Sent::Failed(SendError::InvalidRequest(fault.into()).into());
                }
            },
        };
        let limit = async {
            match timeout_ms {
                Some(limit) => tokio::time::sleep(Duration::from_millis(limit.into())).await,
                None => pending().await,
            }
        };
        let sent = tokio::select! {
            biased;
            passed = &mut response => return match passed {
                Ok(response) => Sent::Responded(Box::new(response)),
                // What is behind ends at the same time.
                Err(_) if self.scope.is_cancelled() => Sent::Cancelled,
                Err(error) => Sent::Failed(error),
            },
            () = self.scope.cancelled() => Sent::Cancelled,
            () = limit => Sent::TimedOut,
        };
        // What this middleware does next does not depend on the end of these exchanges.
        scope.cancel();
        self.go_on(response.map(drop).boxed());
        sent
    }

    /// Resumes an exchange whose client is answered.
    async fn finish(self, position: usize, request: Request<WholeBody>, exchange: u64) {
        let calls = self.calls.clone();
        let ended = match calls.resume(position, exchange, Event::Answered).await {
            Ok(action) => self.follow(position, request, action, true).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended
            && !error.is::<ExpirationError>()
        {
            calls.report(&error);
        }
    }

    /// Does this work without the client.
    fn go_on(&self, work: BoxFuture<'a, ()>) {
        // It fails only if the request has ended already.
        let _ = self.rest.unbounded_send(work);
    }
}

/// The failure as the component gets it.
fn send_error(error: wasmtime::Error) -> SendError {
    error.downcast().unwrap_or_else(|error| SendError::Other(format!("{error:#}")))
}

fn invalid(fault: Cow<'static, str>) -> wasmtime::Error {
    wasmtime::format_err!("the changes of middleware have {fault}")
}

#[cfg(test)]
mod tests;
