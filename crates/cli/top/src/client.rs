//! HTTP requests with a time limit and a size limit.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::error::FetchError;

/// Longest time until a response is complete.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Longest detail of a response with an error, in characters.
const DETAIL_CHARS: usize = 200;

/// A client that keeps connections open. Cheap to clone.
#[derive(Clone)]
pub struct Client(Pool<HttpConnector, Empty<Bytes>>);

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client without connections.
    pub fn new() -> Self {
        Self(Pool::builder(TokioExecutor::new()).build_http())
    }

    /// Reads a response of at most `bytes_max` bytes within [`ANSWER_LIMIT`].
    pub async fn get(&self, url: &str, bytes_max: usize) -> Result<Answer, FetchError> {
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.exchange(url, bytes_max)).await;
        answer.map_err(|_| FetchError::Timeout(ANSWER_LIMIT))?
    }

    async fn exchange(&self, url: &str, bytes_max: usize) -> Result<Answer, FetchError> {
        let request = Request::get(url).body(Empty::new());
        let request = request.map_err(|error| FetchError::Broken(error.to_string()))?;
        let answer = self.0.request(request).await.map_err(|error| {
            let reason = innermost(&error);
            if error.is_connect() {
                FetchError::Unreachable(reason)
            } else {
                FetchError::Broken(reason)
            }
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                FetchError::TooLarge(bytes_max)
            } else {
                FetchError::Broken(innermost(&*error))
            }
        })?;
        Ok(Answer { status: head.status, body: body.to_bytes() })
    }
}

impl Answer {
    /// The error for a status that was not expected.
    pub fn unexpected_status(&self) -> FetchError {
        FetchError::Status { status: self.status, detail: self.detail() }
    }

    /// The field `detail` of a problem, or the first line of a text.
    fn detail(&self) -> String {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        let text = String::from_utf8_lossy(&self.body);
        let line = detail.unwrap_or_else(|| text.lines().next().unwrap_or_default());
        if line.is_empty() { "no text".into() } else { line.chars().take(DETAIL_CHARS).collect() }
    }
}

/// The cause at the end of the chain, which says what happened.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives this answer to one request on each connection.
    async fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1_024];
                if stream.read(&mut request).await.unwrap_or(0) > 0 {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        url
    }

    async fn fault(answer: &'static str) -> FetchError {
        Client::new().get(&server(answer).await, 10).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_response_has_a_size_limit() {
        let url = server("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
        let client = Client::new();
        assert_eq!(client.get(&url, 10).await.unwrap().body, "0123456789");
        assert!(matches!(client.get(&url, 9).await, Err(FetchError::TooLarge(9))));
        let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n";
        assert!(matches!(fault(endless).await, FetchError::TooLarge(10)));
    }

    #[tokio::test]
    async fn faults_say_what_happened() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = Client::new().get(&format!("http://{free}/"), 10).await.unwrap_err();
        assert!(matches!(refused, FetchError::Unreachable(_)), "{refused:?}");
        assert!(refused.to_string().contains("refused"), "{refused}");
        assert!(matches!(fault("SSH-2.0-x\r\n\r\n").await, FetchError::Broken(_)));
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n012";
        assert!(matches!(fault(cut).await, FetchError::Broken(_)));
    }

    #[test]
    fn a_status_comes_with_its_detail() {
        for (body, detail) in [
            (
                r#"{"title":"Unavailable","detail":"Valkey does not answer"}"#,
                "Valkey does not answer",
            ),
            ("nothing is served here\nreally", "nothing is served here"),
            ("", "no text"),
        ] {
            let answer = Answer { status: StatusCode::SERVICE_UNAVAILABLE, body: body.into() };
            let fault = answer.unexpected_status().to_string();
            assert_eq!(fault, format!("the response is 503 Service Unavailable: {detail}"));
        }
    }
}
