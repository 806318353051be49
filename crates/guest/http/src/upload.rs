//! Requests that are passed on while it is observed whether their bodies arrive: a client that sends
//! its body slowly, or only a part of it, must not look like a server that fails.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{Either, Shared, select};
use guest_tasks::{now_ms, within};
use http::StatusCode;
use intake::Problem;
use intake::request::body_broken;
use spin_sdk::wasip3::http::types::{
    ErrorCode, Fields, Request as HostRequest, Response as HostResponse,
};
use spin_sdk::wasip3::{wit_future, wit_stream};
use spin_sdk::wit_bindgen::{FutureWriter, StreamReader, StreamWriter};

use crate::failure::is_unreachable;
use crate::outline::{Outline, Trailers, contents, read_some};

/// How long the reason of a failure is awaited after it: the body may be the reason.
const REASON_LIMIT: Duration = Duration::from_millis(100);

/// The body of a request that is passed on.
pub(crate) struct Upload {
    limit: Duration,
    /// An error if the server did not want the rest of it.
    end: Shared<oneshot::Receiver<BodyEnd>>,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Complete,
    /// The client sent only a part of it.
    Broken,
    /// The server did not accept a piece of it in time.
    Stalled,
}

/// The end of a request that was passed on.
pub struct Observed<R = HostResponse> {
    /// How it ended.
    pub end: End<R>,
    /// The time until the answer or the failure, without that for the body. `None` if the end says
    /// nothing about the server.
    pub time: Option<Duration>,
}

/// How a request ended that was passed on.
pub enum End<R = HostResponse> {
    /// With a response.
    Answered(R),
    /// Without a response.
    Failed(ErrorCode),
    /// There was no response in time.
    TimedOut,
    /// The client did not send its body, or not in time.
    NotReceived(Problem),
}

impl<R> Observed<R> {
    pub(crate) fn map<T>(self, convert: impl FnOnce(R) -> T) -> Observed<T> {
        let end = match self.end {
            End::Answered(response) => End::Answered(convert(response)),
            End::Failed(error) => End::Failed(error),
            End::TimedOut => End::TimedOut,
            End::NotReceived(fault) => End::NotReceived(fault),
        };
        Observed { end, time: self.time }
    }
}

impl Upload {
    /// The request that is passed on in place of `request`, with the parts that `change` has changed.
    /// `limit` is the time for the server to accept a piece of the body, and to answer after its end.
    pub async fn of(
        request: HostRequest,
        limit: Duration,
        change: impl FnOnce(&mut Outline) -> Result<(), ErrorCode>,
    ) -> Result<(HostRequest, Self), ErrorCode> {
        let mut outline = Outline::of(&request);
        let is_without_content = outline.is_without_content();
        change(&mut outline)?;
        let (mut body, trailers) = contents(request);
        let (tell, end) = oneshot::channel();
        let upload = Self { limit, end: end.shared() };
        let mut first = (Vec::new(), false);
        if is_without_content {
            first = read_some(&mut body).await;
        }
        let has_contents = first != (Vec::new(), true);
        let (writer, passed_on) = has_contents.then(wit_stream::new).unzip();
        let (trailers_writer, passed_trailers) = wit_future::new(|| Ok(None));
        let pump = Pump { body, trailers, writer, trailers_writer, tell, limit };
        spin_sdk::wit_bindgen::spawn(pump.run(first));
        Ok((outline.into_request(passed_on, passed_trailers)?, upload))
    }

    /// Waits for the answer to the request. The client has `upload_limit` for its body.
    pub async fn exchange(
        &self,
        upload_limit: Duration,
        answer: impl Future<Output = Result<HostResponse, ErrorCode>>,
    ) -> Observed {
        let mut began = now_ms();
        let mut answer = pin!(answer);
        let answered = match within(upload_limit, select(answer.as_mut(), self.end.clone())).await {
            None => return Observed { end: End::NotReceived(late_body()), time: None },
            Some(Either::Left((answered, _))) => Some(answered),
            Some(Either::Right((Ok(BodyEnd::Stalled), _))) => None,
            Some(Either::Right(_)) => {
                began = now_ms();
                within(self.limit, answer).await
            }
        };
        let time = Duration::from_millis(now_ms().saturating_sub(began));
        self.judge(answered, time).await
    }

    async fn judge(
        &self,
        answered: Option<Result<HostResponse, ErrorCode>>,
        time: Duration,
    ) -> Observed {
        match answered {
            Some(Ok(response)) => {
                let has_failed = self.end.clone().now_or_never() == Some(Ok(BodyEnd::Broken));
                let time = (!has_failed).then_some(time);
                Observed { end: End::Answered(response), time }
            }
            Some(Err(error)) if is_unreachable(&error) => {
                Observed { end: End::Failed(error), time: Some(time) }
            }
            failed => {
                let end = within(REASON_LIMIT, self.end.clone()).await;
                if end == Some(Ok(BodyEnd::Broken)) {
                    return Observed { end: End::NotReceived(body_broken()), time: None };
                }
                let (end, is_telling) = match failed {
                    Some(Err(error)) => (End::Failed(error), end == Some(Ok(BodyEnd::Complete))),
                    _ => (End::TimedOut, true),
                };
                Observed { end, time: is_telling.then_some(time) }
            }
        }
    }
}

struct Pump {
    body: StreamReader<u8>,
    trailers: Trailers,
    writer: Option<StreamWriter<u8>>,
    trailers_writer: FutureWriter<Result<Option<Fields>, ErrorCode>>,
    tell: oneshot::Sender<BodyEnd>,
    limit: Duration,
}

impl Pump {
    /// Passes the body on, from its first piece. Nobody may wait for its end any more.
    async fn run(mut self, (mut piece, mut ended): (Vec<u8>, bool)) {
        if let Some(mut writer) = self.writer {
            loop {
                if !piece.is_empty() {
                    match within(self.limit, writer.write_all(piece)).await {
                        Some(rest) if rest.is_empty() => {}
                        Some(_) => return,
                        None => {
                            let _ = self.tell.send(BodyEnd::Stalled);
                            return;
                        }
                    }
                }
                if ended {
                    break;
                }
                (piece, ended) = read_some(&mut self.body).await;
            }
        }
        let trailers = self.trailers.await;
        let end = if trailers.is_ok() { BodyEnd::Complete } else { BodyEnd::Broken };
        let _ = self.tell.send(end);
        drop(self.trailers_writer.write(trailers).await);
    }
}

fn late_body() -> Problem {
    let detail = "the body of the request did not arrive in time";
    let kind = "urn:doorbuster:problem:request-timeout";
    Problem::new(kind, StatusCode::REQUEST_TIMEOUT, detail).with_field("body")
}
