//! A server with metrics, whose answers a test chooses.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAnswer {
    /// Metrics as Prometheus's `/federate` returns them. With each answer, a second has passed and
    /// 100 requests were accepted and 2 refused.
    Counting,
    /// The same after a start of the process: the counts begin at 0 again.
    CountingAgain,
    /// A page of another server.
    Other,
    /// Metrics of more than 1 MiB.
    TooLong,
    /// Status 500.
    Failure,
    /// No answer.
    None,
}

/// The server. It ends when it is dropped.
pub struct MetricsSource {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _task: AbortOnDropHandle<()>,
}

struct State {
    answer: MetricsAnswer,
    /// Answers with counts.
    answers: u64,
    /// Number of those before the counts began again.
    restarted_at: u64,
    /// The last request's path and query.
    target: String,
}

impl MetricsSource {
    /// Starts a server that answers with [`MetricsAnswer::Counting`].
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            answer: MetricsAnswer::Counting,
            answers: 0,
            restarted_at: 0,
            target: String::new(),
        }));
        let task = tokio::spawn(serve(listener, state.clone()));
        Ok(Self { address, state, _task: AbortOnDropHandle::new(task) })
    }

    /// The URL with a query as for `/federate`.
    pub fn url(&self) -> String {
        format!("http://{}/federate?match[]={{__name__=~%22spin_.*%22}}", self.address)
    }

    /// The URL of the metrics as for a process of `doorbuster`.
    pub fn process_url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Changes the answer.
    pub fn set(&self, answer: MetricsAnswer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answer = answer;
        if answer == MetricsAnswer::CountingAgain {
            state.restarted_at = state.answers;
        }
    }

    /// Number of answers with counts.
    pub fn answers(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answers
    }

    /// The last request's path and query.
    pub fn target(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).target.clone()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, &state));
            // An error only means that the client has disconnected.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: &Mutex<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (answer, text) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.target = request.uri().to_string();
        (state.answer, state.text())
    };
    let mut response = Response::new(Full::from(text));
    match answer {
        MetricsAnswer::None => pending().await,
        MetricsAnswer::Failure => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        _ => {}
    }
    Ok(response)
}

impl State {
    fn text(&mut self) -> String {
        match self.answer {
            MetricsAnswer::Counting | MetricsAnswer::CountingAgain => self.counts(),
            MetricsAnswer::TooLong => self.counts() + &"# A comment.\n".repeat(100_000),
            MetricsAnswer::Other => "<!doctype html>\n<p>Not found</p>\n".into(),
            MetricsAnswer::Failure | MetricsAnswer::None => String::new(),
        }
    }

    fn counts(&mut self) -> String {
        self.answers += 1;
        let time = 1_700_000_000_000 + 1_000 * self.answers;
        let count = self.answers - self.restarted_at;
        let (accepted, refused) = (100 * count, 2 * count);
        format!(
            "# TYPE spin_http_requests_total untyped\n\
             spin_http_requests_total{{component=\"ingest\",code=\"200\"}} {accepted} {time}\n\
             spin_http_requests_total{{component=\"ingest\",code=\"503\"}} {refused} {time}\n\
             spin_kafka_records_total{{component=\"aggregator\"}} {accepted} {time}\n\
             spin_kafka_lag{{topic=\"sales\",partition=\"0\"}} 7 {time}\n\
             spin_kafka_assigned_partitions{{component=\"aggregator\"}} 1 {time}\n\
             spin_kafka_dead_letters_total{{component=\"aggregator\"}} 3 {time}\n\
             spin_kafka_rejections_total{{component=\"aggregator\"}} 3 {time}\n"
        )
    }
}
