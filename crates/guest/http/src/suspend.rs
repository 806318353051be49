//! Exchanges through `doorbuster:http/interceptor`.
//!
//! Middleware is an asynchronous function that passes requests on and awaits the responses. Here, the
//! host passes them on, between two calls. So the function is suspended when it does so, and polled again
//! by the next call. It awaits nothing else at that point, so no event of the host can get lost: the
//! host would report it to the call that has ended.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use http::Response;
use http_text::{BODY_BYTES_MAX, to_lines};
use spin_sdk::wasip3::http::types::ErrorCode;

use crate::body::Answer;
use crate::intercepted::{Changes, Intercepted, Outcome};
use crate::interceptor::{Action, EarlyAnswer, Event, Receiving, Sending, Server, WholeHead};
use crate::reply::BodyStream;
use crate::serve::to_whole;
use crate::write::internal;

thread_local! {
    static SUSPENDED: RefCell<AllSuspended> = RefCell::default();
}

/// The exchanges that the host will resume: one for each request in progress. If middleware before this
/// one sends a request again after a time limit, the host cancels the earlier exchange.
#[derive(Default)]
struct AllSuspended {
    last: u64,
    suspended: HashMap<u64, Suspended>,
}

/// A suspended exchange: the function that handles it, and its connection to the host. The function has no
/// result if the client is answered.
struct Suspended {
    work: LocalBoxFuture<'static, Result<Option<Outcome>, ErrorCode>>,
    link: Rc<Link>,
}

/// Passes what the function asks the host for, and the events.
#[derive(Default)]
pub(crate) struct Link {
    ask: Cell<Option<Ask>>,
    event: Cell<Option<Event>>,
}

/// What the host is asked for.
pub(crate) enum Ask {
    /// To send the request.
    Send(SendRequest),
    /// To return the body of the request, if it has at most this many bytes.
    ReceiveRequest(usize),
    /// To return the body of the last response, if it has at most this many bytes.
    ReceiveResponse(usize),
}

/// A request to send.
#[derive(Default)]
pub(crate) struct SendRequest {
    /// The server that gets it; `None` for the component behind.
    pub server: Option<Server>,
    /// The changes of the request.
    pub changes: Changes,
    /// The time to wait before that.
    pub pause: Duration,
    /// The most time until the response.
    pub limit: Option<Duration>,
}

impl Link {
    /// Suspends the exchange until the host has done this.
    pub async fn ask(&self, ask: Ask) -> Event {
        self.ask.set(Some(ask));
        poll_fn(|_| self.event.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

/// Begins an exchange.
pub async fn begin_exchange<F>(head: WholeHead, handle: impl FnOnce(Intercepted) -> F) -> Action
where
    F: Future<Output = Result<Outcome, ErrorCode>> + 'static,
{
    let link = Rc::new(Link::default());
    let work = handle(Intercepted::whole(head, link.clone()));
    Suspended { work: work.map(|outcome| outcome.map(Some)).boxed_local(), link }.advance().await
}

/// Continues an exchange.
pub async fn resume_exchange(id: u64, event: Event) -> Action {
    let exchange = SUSPENDED.with_borrow_mut(|own| own.suspended.remove(&id));
    let Some(exchange) = exchange else { return Action::Fail("there is no such exchange".into()) };
    // As with streams, the function is dropped when its result is no longer needed.
    if matches!(event, Event::Cancelled) {
        return Action::Finish;
    }
    // Nothing waits for this event: the function begins with it.
    if !matches!(event, Event::Answered) {
        exchange.link.event.set(Some(event));
    }
    exchange.advance().await
}

/// What the function has done.
enum Step {
    Asked(Ask),
    Ended(Result<Option<Outcome>, ErrorCode>),
}

impl Suspended {
    /// Runs the function until it asks the host for something, or ends.
    async fn advance(mut self) -> Action {
        let step = poll_fn(|cx| {
            if let Poll::Ready(result) = self.work.poll_unpin(cx) {
                return Poll::Ready(Step::Ended(result));
            }
            self.link.ask.take().map_or(Poll::Pending, |ask| Poll::Ready(Step::Asked(ask)))
        })
        .await;
        match step {
            Step::Asked(Ask::ReceiveRequest(max)) => Action::ReceiveRequest(self.receiving(max)),
            Step::Asked(Ask::ReceiveResponse(max)) => Action::ReceiveResponse(self.receiving(max)),
            Step::Asked(Ask::Send(SendRequest { server, changes, pause, limit })) => {
                Action::Send(Sending {
                    exchange: self.suspend(),
                    server,
                    remove: changes.remove,
                    insert: to_lines(&changes.insert, |_| true),
                    after_ms: milliseconds(pause),
                    timeout_ms: limit.map(milliseconds),
                })
            }
            Step::Ended(Ok(None)) => Action::Finish,
            Step::Ended(Ok(Some(Outcome::Answer(answer)))) => Action::Answer(to_whole(answer)),
            Step::Ended(Ok(Some(Outcome::AnswerFirst(answer, work)))) => {
                let work = work.map(|()| Ok(None)).boxed_local();
                let exchange = Self { work, link: self.link }.suspend();
                Action::AnswerFirst(EarlyAnswer { exchange, response: to_whole(answer) })
            }
            Step::Ended(Ok(Some(Outcome::Streamed(response)))) => match complete(response).await {
                Ok(answer) => Action::Answer(to_whole(answer)),
                Err(error) => Action::Fail(error.to_string()),
            },
            Step::Ended(Ok(Some(Outcome::Passed(response)))) => match response.into_changes() {
                Ok(set) => Action::Pass(set),
                Err(error) => Action::Fail(error.to_string()),
            },
            Step::Ended(Err(error)) => Action::Fail(error.to_string()),
        }
    }

    fn receiving(self, bytes_max: usize) -> Receiving {
        Receiving { exchange: self.suspend(), bytes_max: bytes_max as u64 }
    }

    /// Keeps the exchange until the host resumes it, and returns its id.
    fn suspend(self) -> u64 {
        SUSPENDED.with_borrow_mut(|own| {
            own.last += 1;
            own.suspended.insert(own.last, self);
            own.last
        })
    }
}

/// The complete response to a request that has no stream for it.
async fn complete(response: Response<BodyStream>) -> Result<Answer, ErrorCode> {
    let (head, mut stream) = response.into_parts();
    let mut data = Vec::new();
    while let Some(piece) = stream.next().await {
        data.extend_from_slice(&piece);
        if data.len() > BODY_BYTES_MAX {
            return Err(internal("the response is longer than a complete one may be"));
        }
    }
    Ok(Response::from_parts(head, data.into()))
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
