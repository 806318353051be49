//! Sends requests over one connection, with retries.

use std::time::Duration;

use anyhow::Result;
use http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::connection::{Answer, Connection};
use crate::repeats::Request;

/// The first and the longest pause before a retry or after a refused connection.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Maximum time for a response after the load was stopped.
const LAST_ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The result of a sale.
pub(crate) struct Sent {
    /// The answer to the last attempt.
    pub answer: Answer,
    /// Time of the last attempt from when its connection was open.
    pub took: Duration,
    /// Whether some attempt may have been written.
    pub unsure: bool,
}

pub(crate) struct Sender {
    connection: Connection,
    retries_max: u32,
    /// Number of retries.
    pub retries: u64,
    stop: CancellationToken,
}

impl Sender {
    pub fn new(args: &Args, stop: CancellationToken) -> Result<Self> {
        let connection = Connection::new(&args.url, Duration::from_secs(args.timeout))?;
        Ok(Self { connection, retries_max: args.retries, retries: 0, stop })
    }

    /// Posts a sale, with retries until `stop`.
    pub async fn send(&mut self, request: &Request) -> Result<Sent> {
        let key = HeaderValue::from_str(&request.key)?;
        let key = request.keyed.then_some(&key);
        let mut unsure = false;
        let mut pause = PAUSE;
        for attempt in 0.. {
            let (answer, took) = self.post(key, request).await;
            unsure |= answer.may_be_written();
            if matches!(answer, Answer::NotSent(_)) {
                // No server listens: pause instead of connecting in a busy loop.
                self.pause(pause).await;
            }
            if attempt >= self.retries_max || !answer.may_pass() {
                return Ok(Sent { answer, took, unsure });
            }
            self.pause(pause).await;
            if self.stop.is_cancelled() {
                return Ok(Sent { answer, took, unsure });
            }
            self.retries += 1;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(Sent { answer: Answer::Broken, took: Duration::ZERO, unsure })
    }

    /// Posts the sale once. After `stop`, the response must arrive within [`LAST_ANSWER_LIMIT`].
    async fn post(&mut self, key: Option<&HeaderValue>, request: &Request) -> (Answer, Duration) {
        let too_late = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWER_LIMIT).await;
        };
        tokio::select! {
            answer = self.connection.post(key, request.body.clone()) => answer,
            () = too_late => (Answer::Broken, Duration::ZERO),
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
