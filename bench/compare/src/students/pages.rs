//! Clients that read pages.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::future::join_all;
use hdrhistogram::Histogram;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::results::Figures;

/// The longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The number of students in a page.
const PAGE: u64 = 100;

/// Which pages of the list are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first page, as in the original measurement.
    First,
    /// Pages at random offsets.
    Offset,
    /// Pages behind random students.
    After,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::First, Self::Offset, Self::After];

    /// The path of a page in a list of this length.
    fn path(self, students: u64) -> String {
        let anywhere = || fastrand::u64(..students.saturating_sub(PAGE).max(1));
        match self {
            Self::First => format!("/students?limit={PAGE}&offset=0"),
            Self::Offset => format!("/students?limit={PAGE}&offset={}", anywhere()),
            Self::After => format!("/students?limit={PAGE}&after={}", anywhere()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::First => "first page",
            Self::Offset => "any offset",
            Self::After => "after any student",
        })
    }
}

/// A load.
#[derive(Debug)]
pub struct Pages {
    /// The service.
    pub address: SocketAddr,
    /// The value of `Authorization`, if the service needs one.
    pub authorization: Option<String>,
    /// Which pages.
    pub place: Place,
    /// The number of students in the list.
    pub students: u64,
    /// Clients, each with one request at a time.
    pub clients: u32,
}

/// What was answered.
pub struct Answers {
    /// The times of complete pages in microseconds.
    times: Histogram<u64>,
    /// The number of other answers, by what they were.
    failed: BTreeMap<String, u64>,
    elapsed: Duration,
}

impl Pages {
    /// Sends requests for this time.
    pub async fn read(self: Arc<Self>, seconds: u64) -> Result<Answers> {
        let begun = Instant::now();
        let end = begun + Duration::from_secs(seconds);
        let clients = (0..self.clients).map(|_| tokio::spawn(self.clone().client(end)));
        let mut answers = Answers::new()?;
        for client in join_all(clients).await {
            let of_client = client??;
            answers.times.add(of_client.times)?;
            for (reason, count) in of_client.failed {
                *answers.failed.entry(reason).or_default() += count;
            }
        }
        answers.elapsed = begun.elapsed();
        ensure!(!answers.times.is_empty(), "no page was answered: {:?}", answers.failed);
        if !answers.failed.is_empty() {
            tracing::warn!(failed = ?answers.failed, ?self, "requests failed");
        }
        Ok(answers)
    }

    async fn client(self: Arc<Self>, end: Instant) -> Result<Answers> {
        let mut answers = Answers::new()?;
        let mut connection = connect(self.address).await?;
        while Instant::now() < end {
            let begun = Instant::now();
            match timeout(LIMIT, self.page(&mut connection)).await {
                Ok(Ok(StatusCode::OK)) => {
                    answers.times.record(u64::try_from(begun.elapsed().as_micros())?)?;
                }
                Ok(Ok(status)) => answers.fail(status.as_str()),
                broken => {
                    answers.fail(if broken.is_err() { "no answer" } else { "connection" });
                    connection = connect(self.address).await?;
                }
            }
        }
        Ok(answers)
    }

    async fn page(&self, connection: &mut SendRequest<Empty<Bytes>>) -> Result<StatusCode> {
        let mut request = Request::get(self.place.path(self.students))
            .header(header::HOST, self.address.to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new())?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("cannot connect to the service")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with its sender.
    tokio::spawn(connection);
    Ok(sender)
}

impl Answers {
    fn new() -> Result<Self> {
        let (times, failed) = (Histogram::new(3)?, BTreeMap::new());
        Ok(Self { times, failed, elapsed: Duration::ZERO })
    }

    fn fail(&mut self, reason: &str) {
        *self.failed.entry(reason.into()).or_default() += 1;
    }

    /// The number of pages that were answered.
    pub fn count(&self) -> u64 {
        self.times.len()
    }

    /// Throughput, latencies and the share of failures.
    pub fn figures(&self) -> Figures {
        let failed: u64 = self.failed.values().sum();
        let ms = |quantile| self.times.value_at_quantile(quantile) as f64 / 1_000.0;
        Figures::from([
            ("answers_per_s".into(), self.count() as f64 / self.elapsed.as_secs_f64()),
            ("p50_ms".into(), ms(0.5)),
            ("p99_ms".into(), ms(0.99)),
            ("failed_share".into(), failed as f64 / (failed + self.count()) as f64),
        ])
    }
}
