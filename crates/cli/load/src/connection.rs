//! One HTTP/1.1 connection, which is opened again after a failure.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The only body of a response that means success.
const ACCEPTED: &[u8] = br#"{"status":"Procesado"}"#;

/// Maximum size of a response, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The response was 200 with the expected body.
    Accepted,
    /// Any other response, with its status.
    Refused(StatusCode),
    /// The response was 200 with an unexpected body: the server is not the pipeline, or has a bug.
    Odd,
    /// The connection could not be opened, for this reason. Nothing was sent.
    NotSent(String),
    /// The connection broke, or there was no response in time.
    Broken,
}

impl Answer {
    /// Whether the sale may have been written although it was not accepted. Only a response of
    /// `ingest` with a client error excludes that.
    pub fn may_be_written(&self) -> bool {
        match self {
            Answer::Refused(status) => status.is_server_error(),
            Answer::Odd | Answer::Broken => true,
            Answer::Accepted | Answer::NotSent(_) => false,
        }
    }

    /// Whether a retry may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Answer::Refused(status) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Answer::NotSent(_) | Answer::Broken => true,
            Answer::Odd | Answer::Accepted => false,
        }
    }

    /// Whether the server refused the request because it has too much to do.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Answer::Refused(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        )
    }

    /// The name under which the result is counted.
    pub fn name(&self) -> String {
        match self {
            Answer::Accepted => "200".into(),
            Answer::Refused(status) => status.as_u16().to_string(),
            Answer::Odd => "200 with another body".into(),
            Answer::NotSent(reason) => format!("not connected: {reason}"),
            Answer::Broken => "connection broke".into(),
        }
    }
}

/// A connection to one server.
pub(crate) struct Connection {
    address: String,
    host: HeaderValue,
    path: Uri,
    /// Maximum time to wait for a response.
    limit: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn new(url: &Uri, limit: Duration) -> Result<Self> {
        let authority = url.authority().context("the URL must be http://HOST:PORT/PATH")?;
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            address: format!("{}:{port}", authority.host()),
            host: HeaderValue::from_str(authority.as_str())?,
            path: url.path_and_query().map_or("/", |path| path.as_str()).parse()?,
            limit,
            sender: None,
        })
    }

    /// Posts one sale and reads the complete response. Also returns the time that this took after
    /// the connection was open.
    pub async fn post(&mut self, key: Option<&HeaderValue>, body: Bytes) -> (Answer, Duration) {
        let not_sent = |reason| (Answer::NotSent(reason), Duration::ZERO);
        let mut sender = match tokio::time::timeout(self.limit, self.sender()).await {
            Ok(Ok(sender)) => sender,
            Ok(Err(error)) => return not_sent(format!("{error:#}")),
            Err(_) => return not_sent("no answer in time".into()),
        };
        let begun = Instant::now();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            headers.insert("idempotency-key", key.clone());
        }
        let answer = match tokio::time::timeout(self.limit, exchange(&mut sender, request)).await {
            Ok(Ok(answer)) => {
                self.sender = Some(sender);
                answer
            }
            Ok(Err(_)) | Err(_) => Answer::Broken,
        };
        (answer, begun.elapsed())
    }

    /// The open connection, ready for a request. Opens one if there is none.
    async fn sender(&mut self) -> Result<SendRequest<Full<Bytes>>> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
    Ok(match status {
        StatusCode::OK if body == ACCEPTED => Answer::Accepted,
        StatusCode::OK => Answer::Odd,
        _ => Answer::Refused(status),
    })
}
